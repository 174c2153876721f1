"""What the driver's tool tells of the GPUs: read from a tool made up here, asked seldom enough."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cortex.peer.devices.sensors import GpuSensors, Sensed, read_sensors

Tool = Callable[[str], None]
GIB = 1 << 30


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """Put an `nvidia-smi` on the path that does this."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(script: str) -> None:
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return put


def test_each_gpu_tells_what_it_knows(tool: Tool) -> None:
    tool("echo '0, 81920, 92, 61, 412.31'\necho '1, 81920, [N/A], 58, [Not Supported]'")
    assert read_sensors() == {
        "0": Sensed(80 * GIB, 0.92, 61.0, 412.31),
        "1": Sensed(80 * GIB, None, 58.0, None),
    }


@pytest.mark.parametrize(
    "script", ["exit 9", "echo hello", "echo '0, 1, 2'", "printf '\\377'", "echo '0, inf, -1, x, '"]
)
def test_a_tool_that_fails_tells_nothing(tool: Tool, script: str) -> None:
    tool(script)
    assert set(read_sensors().values()) <= {Sensed()}


def test_without_the_tool_nothing_is_known(tool: Tool) -> None:
    assert read_sensors() == {}


async def test_it_is_asked_once_a_second_however_many_want_to_know() -> None:
    now_s, num_asked = 0.0, 0

    def read() -> Mapping[str, Sensed]:
        nonlocal num_asked
        num_asked += 1
        return {"0": Sensed(utilisation=num_asked / 10)}

    sensors = GpuSensors(("cuda:0",), lambda: now_s, read)
    assert num_asked == 0, "nobody has wanted to know"
    answers = await asyncio.gather(*(sensors.sense() for _ in range(5)))
    assert (num_asked, {each["0"].utilisation for each in answers}) == (1, {0.1})
    now_s = 0.9
    assert (await sensors.sense())["0"].utilisation == 0.1
    now_s = 1.0
    assert (await sensors.sense())["0"].utilisation == 0.2


async def test_where_there_is_no_gpu_nobody_is_asked() -> None:
    def read() -> Mapping[str, Sensed]:
        raise AssertionError("asked")

    assert await GpuSensors(("cpu",), lambda: 0.0, read).sense() == {}
