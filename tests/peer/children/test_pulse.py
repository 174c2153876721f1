"""The heartbeat of a streamed reply, on a response that only notes what is written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cortex.peer.api.pulse import Pulse

DEADLINE_S = 30


class Response:
    """A reader that may stop reading."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.was_written = asyncio.Event()
        self.was_aborted = asyncio.Event()
        self.is_stuck = False

    async def write(self, chunk: bytes) -> None:
        self.written.append(chunk)
        self.was_written.set()
        if self.is_stuck:
            await self.was_aborted.wait()
            raise ConnectionResetError("aborted")


def pulse_of(response: Any, *, quiet_s: float = 60.0) -> Pulse:
    return Pulse(response, lambda: b"beat", quiet_s)


async def test_a_silence_is_filled_again_and_again():
    response = Response()
    async with asyncio.timeout(DEADLINE_S):
        with pulse_of(response, quiet_s=0.001) as pulse:
            await pulse.write(b"said")
            while len(response.written) < 3:
                response.was_written.clear()
                await response.was_written.wait()
    assert response.written[:3] == [b"said", b"beat", b"beat"]


async def test_a_remark_breaks_no_silence():
    response = Response()
    async with asyncio.timeout(DEADLINE_S):
        with pulse_of(response, quiet_s=0.01) as pulse:
            while b"beat" not in response.written:
                await pulse.remark(b"loading")
                await asyncio.sleep(0.001)
    assert b"loading" in response.written


async def test_who_speaks_often_enough_hears_no_heartbeat(monkeypatch: pytest.MonkeyPatch):
    loop, now_s = asyncio.get_running_loop(), 1e6
    monkeypatch.setattr(loop, "time", lambda: now_s)
    response = Response()
    with pulse_of(response, quiet_s=60.0) as pulse:
        for _ in range(5):
            now_s += 40.0
            await pulse.write(b"said")
            await turns()
        await pulse.write(b"")
        assert response.written == [b"said"] * 5
        now_s += 60.0
        await turns()
        assert response.written == [*[b"said"] * 5, b"beat"]


async def turns() -> None:
    """What is due now happens."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_reader_who_has_to_be_waited_for_is_not_told_more():
    response = Response()
    response.is_stuck = True
    late = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, late.set)
    with pulse_of(response, quiet_s=0.001) as pulse:
        writing = asyncio.create_task(pulse.write(b"stuck"))
        await late.wait()
        assert response.written == [b"stuck"]
        response.was_aborted.set()
        with pytest.raises(ConnectionResetError):
            await writing


async def test_nothing_is_said_after_the_end():
    response = Response()
    with pulse_of(response, quiet_s=0.001):
        pass
    late = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, late.set)
    await late.wait()
    assert response.written == []
