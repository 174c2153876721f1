"""A history of requests to one peer, and what its numbers, its headers and its log say of it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shutil
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from cortex.engine.fake import FakeConfig
from cortex.peer.config import REQUEST_LOG, EvictionConfig, FleetConfig, PeerConfig
from cortex.peer.models.catalogue import embedded_dir
from cortex.peer.serving.server import serving

DEADLINE_S = 30.0
CHAT, COMPLETIONS, VECTORS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"
HISTOGRAMS = (
    *("queue_seconds", "time_to_first_token_seconds", "inter_token_seconds", "tokens_per_second"),
    *("request_seconds", "load_seconds"),
)
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}


@dataclass
class History:
    """What clients know of their requests."""

    replies: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    # Requests that were answered to their end, by model, and their choices.
    num_answered: Counter[str] = field(default_factory=Counter[str])
    num_choices: Counter[str] = field(default_factory=Counter[str])
    num_tokens: Counter[str] = field(default_factory=Counter[str])
    num_vectors: Counter[str] = field(default_factory=Counter[str])
    num_left: Counter[str] = field(default_factory=Counter[str])
    num_refused: Counter[str] = field(default_factory=Counter[str])
    num_cold: Counter[str] = field(default_factory=Counter[str])
    evicted: list[str] = field(default_factory=list[str])


class Asking:
    """One client, which keeps the history."""

    def __init__(self, session: ClientSession, address: str) -> None:
        self.history = History()
        self._session = session
        self._url = f"http://{address}"

    async def answer(
        self, model: str, path: str = CHAT, prompts: int = 1, **fields: Any
    ) -> dict[str, str]:
        """A request that is answered; each of its prompts counts as one."""
        body = {"model": model, "max_tokens": 6, "ignore_eos": True} | fields
        if path in (CHAT, MESSAGES):
            body = HELLO | body
        async with self._session.post(self._url + path, json=body) as reply:
            usage: dict[str, int] = (await reply.json())["usage"]
            assert reply.status == 200
        own, headers = self.history, dict(reply.headers)
        own.replies["messages" if path == MESSAGES else "openai", "200"] += 1
        own.num_cold[model] += headers["x-cortex-start"] == "cold"
        own.evicted += [each for each in headers.get("x-cortex-evicted", "").split(", ") if each]
        if path == VECTORS:
            own.num_vectors[model] += prompts
        else:
            own.num_answered[model] += prompts
            own.num_choices[model] += prompts * fields.get("n", 1)
            own.num_tokens[model] += usage.get("completion_tokens", usage.get("output_tokens", 0))
        return headers

    async def leave(self, model: str) -> None:
        """A stream that is left after its first words."""
        body = HELLO | {"model": model, "stream": True, "max_tokens": 4000, "ignore_eos": True}
        async with self._session.post(self._url + CHAT, json=body) as reply:
            async for line in reply.content:
                if b'"content":"' in line and b'"content":""' not in line:
                    break
            reply.close()
        # Of one that waited long the head left before it was known.
        self.history.num_cold[model] += reply.headers.get("x-cortex-start", "cold") == "cold"
        self.history.replies["openai", "499"] += 1
        self.history.num_left[model] += 1

    async def be_refused(self, status: int, model: str, *, by: str = "", **fields: Any) -> None:
        """`by` is the model that takes it up and cannot answer it."""
        body = HELLO | {"model": model} | fields
        async with self._session.post(self._url + CHAT, json=body) as reply:
            assert reply.status == status
        self.history.replies["openai", str(status)] += 1
        self.history.num_refused[by] += 1

    async def count(self, model: str) -> None:
        async with self._session.post(self._url + COUNT, json=HELLO | {"model": model}) as reply:
            assert reply.status == 200
        self.history.replies["count", "200"] += 1

    async def numbers(self) -> Numbers:
        async with self._session.get(self._url + "/metrics") as reply:
            return Numbers(await reply.text())

    async def at_rest(self) -> Numbers:
        """Once the peer knows as much as its clients."""
        while True:
            found = await self.numbers()
            if found.by("cortex_requests_total", "dialect", "status") == self.history.replies:
                return found
            await asyncio.sleep(0.01)


class Numbers:
    """One scrape."""

    def __init__(self, text: str) -> None:
        families = text_string_to_metric_families(text)
        self.samples = [sample for family in families for sample in family.samples]

    def by(self, name: str, *labels: str) -> dict[Any, float]:
        """The sums by the values of these labels, without the zeros."""
        found: dict[Any, float] = {}
        for sample in self.samples:
            if sample.name == name:
                values = [sample.labels[label] for label in labels]
                key = tuple(values) if len(values) > 1 else values.pop()
                found[key] = found.get(key, 0.0) + sample.value
        return {values: number for values, number in found.items() if number}


@pytest.fixture
def open_peer(tmp_path: Path, make_config: Callable[..., PeerConfig], memory_children: Any) -> Any:
    """A peer with two models, `one` and `two`, that its memory does not hold at once."""
    for name in ("one", "two"):
        folder = tmp_path / "models" / name
        shutil.copytree(embedded_dir(make_config()), folder)
        about = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(
            json.dumps(about | {"name": name, "weights_bytes": 500 << 20})
        )
    key_file = tmp_path / "fleet.key"
    config = make_config(
        models_dirs=(tmp_path / "models",),
        fleet=FleetConfig("atlas", key_file, host="127.0.0.1", port=0, join=(), has_mdns=False),
        eviction=EvictionConfig(min_residency_s=0.0),
        memory_bytes=1 << 30,
    )

    @asynccontextmanager
    async def open_it(*lives: int) -> AsyncGenerator[Asking]:
        children = memory_children(lives, fake=FakeConfig(token_interval_ms=2))
        async with (
            asyncio.timeout(DEADLINE_S),
            serving(config, children.spawn) as server,
            ClientSession() as session,
        ):
            yield Asking(session, server.address)

    return open_it


async def live_through(client: Asking) -> None:
    await client.answer("one")
    await client.answer("one", n=3)
    await client.answer("one", COMPLETIONS, 2, prompt=["a", "b"], n=2)
    await client.answer("two", MESSAGES)
    await asyncio.gather(*(client.answer("two", max_tokens=number) for number in range(1, 6)))
    await client.leave("two")
    await client.answer("one", VECTORS, 3, input=["a", "b", "c"])
    await client.be_refused(404, "no such model")
    await client.be_refused(400, "one", max_tokens=-2)
    await client.be_refused(
        400, "one", by="one", messages=[{"role": "user", "content": "long " * 100_000}]
    )
    await client.count("one")
    await asyncio.gather(client.answer("one"), client.answer("two"), client.answer("one"))


async def test_the_counts_of_all_histograms_are_the_history_of_the_requests(open_peer: Any):
    async with open_peer() as client:
        await live_through(client)
        own, found = client.history, await client.at_rest()
    left, refused = own.num_left, Counter({"one": own.num_refused["one"]})
    granted = own.num_answered + own.num_vectors + left
    assert found.by("cortex_queue_seconds_count", "model") == granted
    with_tokens = own.num_answered + left
    assert found.by("cortex_time_to_first_token_seconds_count", "model") == with_tokens
    answered = own.num_answered + own.num_vectors
    assert found.by("cortex_request_seconds_count", "model") == answered
    # One answer of a single token has no speed.
    assert found.by("cortex_tokens_per_second_count", "model") == own.num_choices - Counter(["two"])
    made = found.by("cortex_completion_tokens_total", "model")
    assert made["one"] == own.num_tokens["one"] and made["two"] > own.num_tokens["two"]
    gaps = Counter(made) - own.num_choices - left
    assert found.by("cortex_inter_token_seconds_count", "model") == gaps
    endings = found.by("cortex_requests_finished_total", "model", "reason")
    assert endings == {
        ("one", "length"): own.num_choices["one"],
        ("two", "length"): own.num_choices["two"],
        ("one", "stop"): own.num_vectors["one"],
        ("two", "cancelled"): left["two"],
        ("one", "refused"): refused["one"],
    }


async def test_every_load_and_every_eviction_is_counted_and_was_told(open_peer: Any):
    async with open_peer() as client:
        await live_through(client)
        own, found = client.history, await client.at_rest()
    loads = found.by("cortex_load_seconds_count", "model")
    evictions = found.by("cortex_evictions_total", "model")
    # Who stays is the only one that was loaded and has not gone.
    assert sum(loads.values()) - sum(evictions.values()) == 1
    assert set(own.evicted) == {"one", "two"} == set(loads)
    assert all(own.num_cold[model] >= loads[model] for model in loads)
    assert set(found.by("cortex_evictions_total", "reason")) == {"lru"}


async def test_buckets_rise_to_the_count_and_every_number_names_its_peer(open_peer: Any):
    async with open_peer() as client:
        await live_through(client)
        found = await client.at_rest()
    assert {sample.labels["peer"] for sample in found.samples} == {"atlas"}
    histograms = {s.name.removesuffix("_count") for s in found.samples if s.name.endswith("_count")}
    assert {f"cortex_{name}" for name in HISTOGRAMS} <= histograms
    for name in histograms:
        labels = ("model", "le")
        buckets = found.by(f"{name}_bucket", *labels)
        whole = {model: n for (model, bound), n in buckets.items() if bound == "+Inf"}
        assert whole == found.by(f"{name}_count", "model")
        assert all(number <= whole[model] for (model, _), number in buckets.items())


async def test_memory_by_kind_is_the_budget(open_peer: Any):
    async with open_peer() as client:
        await client.answer("one")
        found = await client.numbers()
    budget = found.by("cortex_device_memory_budget_bytes", "device")
    assert found.by("cortex_device_memory_bytes", "device") == budget
    kinds = found.by("cortex_device_memory_bytes", "model", "kind")
    assert ("", "free") in kinds and any(model == "one" for model, _ in kinds)


async def test_an_answer_that_outlives_its_engine_is_one_answer_in_every_count(open_peer: Any):
    async with open_peer(12) as client:
        await client.answer("one", max_tokens=20)
        found = await client.at_rest()
    assert found.by("cortex_failovers_total", "kind") == {"engine_restart": 1}
    for name in ("queue_seconds", "time_to_first_token_seconds", "tokens_per_second"):
        assert found.by(f"cortex_{name}_count", "model") == {"one": 1}
    assert found.by("cortex_inter_token_seconds_count", "model") == {"one": 19}
    assert found.by("cortex_request_seconds_count", "model") == {"one": 1}
    assert found.by("cortex_load_seconds_count", "model") == {"one": 2}


async def test_a_reply_and_the_log_say_what_had_to_go_for_it(
    open_peer: Any, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, REQUEST_LOG)
    async with open_peer() as client:
        await client.answer("one")
        headers = await client.answer("two")
        assert (headers["x-cortex-start"], headers["x-cortex-evicted"]) == ("cold", "one")
        assert int(headers["x-cortex-queue-ms"]) >= 0
        headers = await client.answer("two")
        assert headers["x-cortex-start"] == "warm" and "x-cortex-evicted" not in headers
        await client.at_rest()
    lines = [each.getMessage() for each in caplog.records if each.name == REQUEST_LOG]
    told = [re.findall(r"start=\w+ evicted=\S+", line) for line in lines]
    assert told == [
        ["start=cold evicted=-"],
        ["start=cold evicted=one"],
        ["start=warm evicted=-"],
    ]
