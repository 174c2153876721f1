"""Other programs on a peer's GPUs: seen by a driver's tool that says what the test wants, where a
fake engine has the devices.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from cortex.peer.config import EvictionConfig, PeerConfig
from cortex.peer.devices import gpu_looks, gpus
from cortex.peer.serving.server import serving

GIB = 1 << 30
DEADLINE_S = 30
MODELS = ("one", "two", "three")
# 27.9 GiB of a GPU with 32 are for models.
WHOLE_MIB, MODEL_BYTES = 32 << 10, 10 * GIB


class Peer:
    """`show` has the driver tell that so much is free on each of two GPUs."""

    def __init__(self, session: ClientSession, models: Path, tool: Callable[[str], None]) -> None:
        self.session = session
        self._models = models
        self.tool = tool

    def show(self, *free_gib: float) -> None:
        self.tool(script_of(*free_gib))

    async def load(self, model: str) -> tuple[int, Any]:
        async with self.session.post("/models/load", json={"model": model}) as reply:
            return reply.status, await reply.json()

    async def unload(self, model: str) -> None:
        async with self.session.post("/models/unload", json={"model": model}) as reply:
            assert reply.status == 200

    async def foreign_gib(self) -> float:
        """As this peer is seen closely."""
        (device,) = json.loads(await self.text("/fleet/peers/atlas"))["devices"]
        return device["foreign_bytes"] / GIB

    async def there(self) -> dict[str, int]:
        (told,) = json.loads(await self.text("/fleet"))["peers"]
        return {model["id"]: model["device"] for model in told["models"]}

    async def until_there(self, *models: str) -> None:
        while set(await self.there()) != set(models):  # noqa: ASYNC110 - somebody looks on
            await asyncio.sleep(0.02)

    async def until_nobody_else(self) -> None:
        """Has anything of the one device."""
        nothing = (
            'cortex_device_memory_bytes{device="fake:0",kind="foreign",model="",peer="atlas"} 0.0'
        )
        while nothing not in await self.text("/metrics"):  # noqa: ASYNC110 - it is asked for
            await asyncio.sleep(0.02)

    async def text(self, path: str) -> str:
        async with self.session.get(path) as reply:
            return await reply.text()

    async def until_loads(self, model: str) -> None:
        while (await self.load(model))[0] != 200:  # noqa: ASYNC110 - nobody else would tell
            await asyncio.sleep(0.02)


def script_of(*free_gib: float) -> str:
    lines = (
        f"{index}, NVIDIA H100, {WHOLE_MIB}, {int(free * 1024)}, 570.124, [N/A], 0, 40, 70"
        for index, free in enumerate(free_gib)
    )
    return 'case "$1" in *gpu=*) ' + "; ".join(f'echo "{line}"' for line in lines) + ";; esac"


@pytest.fixture
def open_peer(
    make_config: Callable[..., PeerConfig],
    make_models: Callable[..., Path],
    memory_children: Any,
    driver_tool: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Any]:
    for rest in ("_GPU_LOOK_S", "_SELDOM_LOOK_S", "_ILL_LOOK_S"):
        monkeypatch.setattr(gpu_looks, rest, 0.05)
    monkeypatch.setattr(gpus, "ANSWER_S", 1.0)
    folder = make_models(*MODELS)
    for name in MODELS:
        path = folder / name / "config.json"
        words = {"name": name, "weights_bytes": MODEL_BYTES}
        path.write_text(json.dumps(json.loads(path.read_text()) | words))

    @asynccontextmanager
    async def opened(*free_gib: float) -> AsyncGenerator[Peer]:
        driver_tool(script_of(*free_gib))
        config = make_config(
            models_dirs=(folder,),
            devices=tuple(f"fake:{index}" for index in range(len(free_gib))),
            eviction=EvictionConfig(min_residency_s=0.0),
        )
        async with (
            asyncio.timeout(DEADLINE_S),
            serving(config, memory_children().spawn) as server,
            ClientSession(f"http://{server.address}") as session,
        ):
            yield Peer(session, folder, driver_tool)

    return opened


async def test_idle_models_go_for_what_other_programs_take_and_no_more_than_it_takes(
    open_peer: Callable[..., Any],
):
    async with open_peer(32) as peer:
        assert (await peer.load("one"))[0] == (await peer.load("two"))[0] == 200
        peer.show(16)
        await peer.until_there("two")
        assert (await peer.load("one"))[0] == 200
        await peer.until_there("one")
        peer.show(32)
        await peer.until_nobody_else()
        assert (await peer.load("two"))[0] == 200
        await peer.until_there("one", "two")


async def test_a_load_that_others_leave_no_room_for_is_refused_with_the_numbers(
    open_peer: Callable[..., Any],
):
    async with open_peer(4) as peer:
        status, told = await peer.load("one")
        assert (status, told["error"]["code"]) == (503, "insufficient_vram"), told
        assert "other programs hold 25.2 GiB" in told["error"]["message"]
        assert told["error"]["hint"] == "end what else uses the device"
        peer.show(32)
        await peer.until_loads("one")


async def test_the_gpu_that_others_leave_alone_is_chosen(open_peer: Callable[..., Any]):
    async with open_peer(4, 32) as peer:
        assert (await peer.load("one"))[0] == 200
        await peer.until_there("one")
        assert await peer.there() == {"one": 1}


async def test_an_idle_peer_decides_and_tells_by_what_is_so_now(
    open_peer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gpu_looks, "_SELDOM_LOOK_S", 600)
    monkeypatch.setattr(gpu_looks, "_FRESH_S", 0.1)
    async with open_peer(4) as peer:
        peer.show(32)
        while await peer.foreign_gib() > 5:  # noqa: ASYNC110 - what was seen at the start is fresh
            await asyncio.sleep(0.02)
        peer.show(4)
        while (await peer.load("one"))[0] != 503:
            await peer.unload("one")
        peer.show(32)
        await peer.until_loads("one")


async def test_a_dashboard_sees_what_is_so_now_for_as_long_as_it_is_open(
    open_peer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    for rest in ("_SELDOM_LOOK_S", "_FRESH_S"):
        monkeypatch.setattr(gpu_looks, rest, 600)
    async with open_peer(4) as peer, peer.session.get("/fleet/events") as reply:
        assert reply.status == 200
        peer.show(32)
        await peer.until_nobody_else()


@pytest.mark.parametrize("script", ["exec sleep 600", "exit 9", "echo nonsense"])
async def test_a_driver_that_falls_ill_changes_nothing_and_is_told_once(
    open_peer: Callable[..., Any], script: str, caplog: pytest.LogCaptureFixture
):
    async with open_peer(32) as peer:
        assert (await peer.load("one"))[0] == 200
        peer.tool(script)
        while "nvidia-smi is ill" not in caplog.text:  # noqa: ASYNC110 - it is not ours to tell
            await asyncio.sleep(0.02)
        assert (await peer.load("two"))[0] == 200
        peer.show(16)
        await peer.until_there("two")
        assert caplog.text.count("nvidia-smi is ill") == caplog.text.count("answer again") == 1
