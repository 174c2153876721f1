"""Models that come and go under their requests: three where two have room, with a fake engine."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from cortex.engine.fake import FakeConfig
from cortex.peer.config import EvictionConfig, PeerConfig
from cortex.peer.serving.server import serving

MakeConfig = Callable[..., PeerConfig]
MakeModels = Callable[..., Path]
Children = Any  # conftest's MemoryChildren: test modules cannot import each other
MODELS = ("one", "two", "three")
MIB = 1 << 20
TIGHT, AMPLE = 300 * MIB, 800 * MIB
DEADLINE_S = 30
MIN_RESIDENCY_S = 1.0


class Peer:
    """`ask` reads an answer to its end and gives its text; `load_s` is how long each load takes."""

    def __init__(self, session: ClientSession, address: str) -> None:
        self._session = session
        self._url = f"http://{address}"

    async def ask(self, model: str, words: str = "hello", tokens: int = 8) -> str:
        return "".join([text async for text in self.stream(model, words, tokens)])

    async def stream(
        self, model: str, words: str = "hello", tokens: int = 8
    ) -> AsyncGenerator[str]:
        """Whatever comes in between is not told; at the end everything must have come."""
        body = {"model": model, "messages": [{"role": "user", "content": words}], "stream": True}
        body |= {"max_tokens": tokens, "ignore_eos": True, "seed": 1}
        is_over = False
        async with self._session.post(f"{self._url}/v1/chat/completions", json=body) as reply:
            assert reply.status == 200, await reply.text()
            async for line in reply.content:
                if not line.startswith(b"data: "):
                    continue
                assert not is_over
                is_over = line.strip() == b"data: [DONE]"
                for choice in () if is_over else json.loads(line[6:])["choices"]:
                    yield choice["delta"].get("content") or ""
        assert is_over

    async def counted(self, name: str) -> Counter[str]:
        """By model."""
        async with self._session.get(f"{self._url}/metrics") as reply:
            text = await reply.text()
        found = Counter[str]()
        samples: Any = (s for f in text_string_to_metric_families(text) for s in f.samples)
        for sample in samples:
            if sample.name == name and sample.value:
                found[sample.labels["model"]] += int(sample.value)
        return found

    async def num_loads(self) -> Counter[str]:
        return await self.counted("cortex_load_seconds_count")

    async def until(self, **states: str) -> None:
        """Exactly these models are on the device, so."""
        while await self._states() != states:  # noqa: ASYNC110 - somebody else looks on as well
            await asyncio.sleep(0.02)

    async def _states(self) -> dict[str, str]:
        async with self._session.get(f"{self._url}/fleet") as reply:
            (told,) = (await reply.json())["peers"]
        return {model["id"]: model["state"] for model in told["models"]}


@pytest.fixture
def open_peer(
    make_config: MakeConfig, make_models: MakeModels, memory_children: Children
) -> Callable[..., Any]:
    """`async with open_peer() as peer`: it has room for two models of three, each of 100 MiB."""
    folder = make_models(*MODELS)

    @asynccontextmanager
    async def opened(
        memory_bytes: int = TIGHT,
        load_s: float = 0.1,
        interval_ms: float = 10,
    ) -> AsyncGenerator[Peer]:
        for name in MODELS:
            path = folder / name / "config.json"
            words = {"name": name, "weights_bytes": 100 * MIB, "load_s": load_s}
            path.write_text(json.dumps(json.loads(path.read_text()) | words))
        fake = FakeConfig(token_interval_ms=interval_ms, memory_bytes=memory_bytes)
        config = make_config(
            models_dirs=(folder,),
            memory_bytes=memory_bytes,
            eviction=EvictionConfig(min_residency_s=MIN_RESIDENCY_S),
        )
        async with (
            asyncio.timeout(DEADLINE_S),
            serving(config, memory_children(fake=fake).spawn) as server,
            ClientSession() as session,
        ):
            yield Peer(session, server.address)

    return opened


async def test_a_loop_over_three_models_where_two_have_room_loses_no_answer(
    open_peer: Callable[..., Any],
):
    words = [f"tell me of {number}" for number in range(4)]
    async with open_peer(memory_bytes=AMPLE, load_s=0.0, interval_ms=0) as ample:
        twins = {(m, w): await ample.ask(m, w, 20) for m in MODELS for w in words}
    async with open_peer() as peer:
        clock = asyncio.get_running_loop().time
        began_s = clock()
        num_answered = 0

        async def loop(first: int, *, is_loyal: bool) -> None:
            nonlocal num_answered
            number = first
            while clock() < began_s + 3:
                wish = (MODELS[(first if is_loyal else number) % 3], words[number % 4])
                assert await peer.ask(*wish, 20) == twins[wish]
                num_answered, number = num_answered + 1, number + 1

        async with asyncio.TaskGroup() as group:
            for first in range(3):
                # Every model is wanted all the while, so that none goes for being idle.
                group.create_task(loop(first, is_loyal=True))
                group.create_task(loop(first, is_loyal=False))
        took_s = clock() - began_s
        loads, gone = await peer.num_loads(), await peer.counted("cortex_evictions_total")
        assert loads.total() - gone.total() == 2, "what was loaded is there, or went"
        assert set(loads) == set(MODELS) and gone.total() >= 2
        # Each model and each place may change once in a minimal residency.
        assert loads.total() <= (3 + 2) * (1 + took_s / MIN_RESIDENCY_S)
        finished = await peer.counted("cortex_requests_finished_total")
        assert finished.total() == num_answered


async def test_a_long_answer_stays_while_all_others_come_and_go_beside_it(
    open_peer: Callable[..., Any],
):
    loyal, *others = MODELS
    async with open_peer(memory_bytes=AMPLE, load_s=0.0, interval_ms=0) as ample:
        twin = await ample.ask(loyal, tokens=150)
    async with open_peer(interval_ms=40) as peer:
        clock = asyncio.get_running_loop().time

        async def press(model: str) -> None:
            while not answer.done():
                await peer.ask(model)

        began_s = clock()
        answer = asyncio.create_task(peer.ask(loyal, tokens=150))
        await peer.until(one="ready")
        await asyncio.gather(answer, *(press(model) for model in others))
        assert await answer == twin and clock() - began_s >= 6
        loads, gone = await peer.num_loads(), await peer.counted("cortex_evictions_total")
    assert loads[loyal] == 1
    assert min(gone[model] for model in others) >= 2, "neither waited for the long answer's end"
