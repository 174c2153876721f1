"""What the driver's tool tells of the GPUs: read from a tool made up here, asked seldom enough."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cortex.peer.config import Card
from cortex.peer.devices.sensors import GpuSensors, Sensed, ask_sensors, of_our_cards

Tool = Callable[[str], None]
GIB = 1 << 30


async def test_each_gpu_tells_what_it_knows(driver_tool: Tool) -> None:
    driver_tool("echo '0, 81920, 92, 61, 412.31'\necho '1, 81920, [N/A], 58, [Not Supported]'")
    assert await ask_sensors() == {
        0: Sensed(80 * GIB, 0.92, 61.0, 412.31),
        1: Sensed(80 * GIB, None, 58.0, None),
    }


@pytest.mark.parametrize(
    "script", ["exit 9", "echo hello", "echo '0, 1, 2'", "printf '\\377'", "echo '0, inf, -1, x, '"]
)
async def test_a_tool_that_fails_tells_nothing(driver_tool: Tool, script: str) -> None:
    driver_tool(script)
    assert set((await ask_sensors() or {}).values()) <= {Sensed()}


async def test_without_the_tool_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await ask_sensors() is None


async def test_it_is_asked_once_a_second_however_many_want_to_know() -> None:
    now_s, num_asked = 0.0, 0

    async def read() -> Mapping[int, Sensed]:
        nonlocal num_asked
        num_asked += 1
        await asyncio.sleep(0)
        return {0: Sensed(utilisation=num_asked / 10)}

    sensors = GpuSensors(("cuda:0",), lambda: now_s, read)
    assert num_asked == 0, "nobody has wanted to know"
    answers = await asyncio.gather(*(sensors.sense() for _ in range(5)))
    assert (num_asked, {each[0].utilisation for each in answers}) == (1, {0.1})
    now_s = 0.9
    assert (await sensors.sense())[0].utilisation == 0.1
    now_s = 1.0
    assert (await sensors.sense())[0].utilisation == 0.2


async def test_a_tool_that_is_ill_is_left_alone_for_long() -> None:
    now_s, num_asked = 0.0, 0

    async def read() -> Mapping[int, Sensed] | None:
        nonlocal num_asked
        num_asked += 1
        return {0: Sensed(power_w=1.0)} if num_asked > 1 else None

    sensors = GpuSensors(("cpu", "fake:0"), lambda: now_s, read)
    assert await sensors.sense() == {}
    now_s = 29.0
    assert (await sensors.sense(), num_asked) == ({}, 1)
    now_s = 30.0
    assert (await sensors.sense())[0].power_w == 1.0


async def test_where_there_is_no_gpu_nobody_is_asked() -> None:
    async def read() -> Mapping[int, Sensed]:
        raise AssertionError("asked")

    assert await GpuSensors(("cpu",), lambda: 0.0, read).sense() == {}


def test_the_memory_of_a_whole_card_is_not_told_as_that_of_our_slice_of_it() -> None:
    sensed = {0: Sensed(80, 0.5), 1: Sensed(24, 0.1)}
    cards = (Card(0, "MIG-4", "H100"), Card(1, "GPU-5", "A10"))
    assert of_our_cards(sensed, cards) == {0: Sensed(None, 0.5), 1: Sensed(24, 0.1)}
