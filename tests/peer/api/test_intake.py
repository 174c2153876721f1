"""Bodies on their way in: how much room they have, and for how long."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack

import pytest
from aiohttp import web
from aiohttp.http_exceptions import TransferEncodingError

from cortex.engine.errors import InvalidRequest, Overloaded
from cortex.peer.api.errors import About, error_response, tell
from cortex.peer.api.intake import Intake
from cortex.peer.dialects.errors import Family
from cortex.peer.errors import RequestTimeout, RequestTooLarge


class Coming:
    """A body of which the end has not come."""

    def is_eof(self) -> bool:
        return False


class Pieces(Coming):
    """A body that comes in these pieces; an error among them is raised."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._pieces = list(pieces)

    async def readany(self) -> bytes:
        piece = self._pieces.pop(0) if self._pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece


class Here:
    """A body that has come."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def is_eof(self) -> bool:
        return True

    async def readany(self) -> bytes:
        return self._body


class Paced(Coming):
    """A body that comes in chunks of a size, on a loop whose clock goes on by so much at each."""

    def __init__(self, num_chunks: int, chunk_bytes: int, pause_s: float) -> None:
        self._chunks = iter([bytes(chunk_bytes)] * num_chunks)
        self._pause_s = pause_s
        self._now_s = 0.0
        asyncio.get_running_loop().time = lambda: self._now_s

    async def readany(self) -> bytes:
        self._now_s += self._pause_s
        for _ in range(5):  # time limits have their turn
            await asyncio.sleep(0)
        return next(self._chunks, b"")


class Silence(Coming):
    """A body that never comes."""

    async def readany(self) -> bytes:
        await asyncio.Event().wait()
        return b""


async def test_body_of_undeclared_length_gives_back_the_room_it_did_not_need():
    intake = Intake(100, 150)
    with intake.room_for(None, None) as room, ExitStack() as others:
        with pytest.raises(Overloaded):
            others.enter_context(intake.room_for(60, None))
        assert await room.read(Pieces(b"four", b"teen")) == b"fourteen"
        others.enter_context(intake.room_for(100, None))
    with intake.room_for(100, None):
        pass


async def test_body_that_trickles_is_given_up_long_before_its_end():
    with Intake(10**6, 10**7).room_for(10**6, None) as room:
        trickle = Paced(10**6, 1, 1.0)
        with pytest.raises(RequestTimeout, match="less than 32 KiB/s"):
            await room.read(trickle)
    assert asyncio.get_running_loop().time() < 32


async def test_body_that_keeps_coming_over_a_slow_line_is_taken_however_long_it_takes():
    chunks = Paced(500, 128 * 1024, 2.0)
    with Intake(2**26, 2**27).room_for(2**26, None) as room:
        assert len(await room.read(chunks)) == 500 * 128 * 1024
    assert asyncio.get_running_loop().time() > 1000


async def test_slow_bodies_are_given_up_sooner_while_they_hold_most_of_the_room():
    intake = Intake(2**26, 2**27)
    with (
        intake.room_for(2**26, None) as room,
        intake.room_for(1, None),
        pytest.raises(RequestTimeout, match="less than 256 KiB/s"),
    ):
        await room.read(Paced(500, 128 * 1024, 2.0))
    assert asyncio.get_running_loop().time() < 60


class Stopped(Coming):
    """A body that says nothing until the loop's clock, which stands, is put on."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.is_awaited = asyncio.Event()
        asyncio.get_running_loop().time = lambda: self.now_s

    async def readany(self) -> bytes:
        self.is_awaited.set()
        await asyncio.Event().wait()
        return b""


async def test_silent_bodies_leave_room_for_small_ones_and_are_given_up_soon():
    intake, silence = Intake(2**26, 2**29), Stopped()
    with ExitStack() as held:
        rooms = [held.enter_context(intake.room_for(2**26, None)) for _ in range(7)]
        with pytest.raises(Overloaded), intake.room_for(2**26, None):
            pass
        with intake.room_for(2**20, None) as small:
            assert await small.read(Here(b"hello")) == b"hello"
        reading = asyncio.create_task(rooms[0].read(silence))
        await silence.is_awaited.wait()
        silence.now_s = 6.0
        with pytest.raises(RequestTimeout, match="stopped arriving for 5 s"):
            await reading


async def test_a_body_that_pauses_is_hurried_when_room_becomes_short():
    intake, silence = Intake(2**26, 2**27), Stopped()
    with intake.room_for(2**26, None) as room:
        reading = asyncio.create_task(room.read(silence))
        await silence.is_awaited.wait()
        silence.now_s = 6.0
        await asyncio.sleep(0)
        assert not reading.done(), "there is room enough"
        with intake.room_for(1, None), pytest.raises(RequestTimeout):
            await reading


@pytest.mark.parametrize("family", ["chat", "messages"])
def test_body_that_came_too_slowly_is_not_to_be_sent_again(family: Family):
    reply = error_response(tell(RequestTimeout("too slow"), About()), "req", family)
    assert (reply.status, reply.headers["x-should-retry"]) == (408, "false")
    assert isinstance(reply.body, bytes)
    assert family == "chat" or json.loads(reply.body)["error"]["type"] == "timeout_error"


async def test_body_that_stops_coming_is_given_up_however_long_it_may_be():
    intake = Intake(10**9, 10**9, stall_s=0.05)
    async with asyncio.timeout(10):
        with intake.room_for(10**9, None) as room, pytest.raises(RequestTimeout, match="stopped"):
            await room.read(Silence())


async def test_body_longer_than_allowed_is_refused_while_it_comes():
    with Intake(10, 100).room_for(None, None) as room, pytest.raises(RequestTooLarge):
        await room.read(Pieces(b"123456", b"123456"))


async def test_body_that_has_come_is_taken_as_it_is_if_it_is_not_too_long():
    with Intake(10, 100).room_for(None, None) as room:
        assert await room.read(Here(b"1234567890")) == b"1234567890"
        assert room.size_bytes == 10
    with Intake(10, 100).room_for(None, None) as room, pytest.raises(RequestTooLarge):
        await room.read(Here(b"12345678901"))


@pytest.mark.parametrize(
    "error", [web.RequestPayloadError("SECRET"), TransferEncodingError("SECRET")]
)
async def test_body_that_breaks_is_refused_without_quoting_it(error: Exception):
    with (
        Intake(10, 100).room_for(None, None) as room,
        pytest.raises(InvalidRequest) as caught,
    ):
        await room.read(Pieces(b"12", error))
    assert "SECRET" not in caught.value.message


@pytest.mark.parametrize("encoding", ["deflate", "gzip", "br", "identity, gzip"])
def test_compressed_body_is_refused_by_name_before_it_is_read(encoding: str):
    room = Intake(10, 100).room_for(5, encoding)
    with pytest.raises(InvalidRequest, match="content-encoding"), room:
        pass


@pytest.mark.parametrize("encoding", [None, "", "identity", "Identity"])
def test_uncompressed_body_may_say_so(encoding: str | None):
    with Intake(10, 100).room_for(5, encoding) as room:
        assert room.size_bytes == 5
