"""A peer looks at its machine's memory for as long as it runs, whatever the system says to that."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest

from cortex.peer.devices import yielding
from cortex.peer.devices.device import Devices
from tests.peer.by_hand import CONFIG

DEADLINE_S = 5


class Watched:
    """Devices that remember what they were told is free; they share it a little later."""

    def __init__(self) -> None:
        self.told_bytes: list[int] = []
        self.num_asked = 0

    @property
    def share_memory(self) -> bool:
        self.num_asked += 1
        return self.num_asked > 2

    def look_at_memory(self, available_bytes: int, _: Sequence[int]) -> bool:
        self.told_bytes.append(available_bytes)
        return True


async def test_memory_is_looked_at_where_devices_have_part_in_it_and_again_after_no_file_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    devices, is_over = Watched(), asyncio.Event()
    answers = iter([7, OSError(errno.EMFILE, "too many open files"), 9])

    def available_bytes() -> int:
        assert devices.num_asked > 2
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(yielding, "available_memory_bytes", available_bytes)
    monkeypatch.setattr(yielding, "_LOOK_S", 0)

    def changed() -> None:
        if len(devices.told_bytes) == 2:
            is_over.set()

    config = replace(CONFIG, engine="torch", devices=("cpu",))
    [look] = yielding.yielders(config, cast(Devices, devices), tuple, changed)
    looking = asyncio.create_task(look)
    async with asyncio.timeout(DEADLINE_S):
        await is_over.wait()
    looking.cancel()
    assert devices.told_bytes == [7, 9]
