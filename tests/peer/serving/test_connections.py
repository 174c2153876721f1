"""Connections that cost a place and ask nothing: how long they are borne, and how many."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.api.lobby import Lobby
from cortex.peer.bounds.limits import ConnectionLimits
from cortex.peer.config import PeerConfig
from cortex.peer.serving.server import Server
from tests.peer.in_memory import serving

MakeConfig = Callable[..., PeerConfig]
PROBE = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
DEADLINE_S = 20
# Far longer than any test: what ends within it was not ended by this limit.
NEVER_S = 600.0


class Guest:
    def __init__(self, has_work: bool = False) -> None:
        self.has_work = has_work
        self.has_left = self.is_last = False

    def leave(self) -> None:
        self.has_left = True

    def finish(self) -> None:
        self.is_last = True

    def recheck(self, node_of: object) -> None:
        """No member: nothing changes for it."""


def test_a_full_lobby_sends_the_oldest_idle_one_away() -> None:
    lobby = Lobby(3)
    busy, first, second, new = Guest(has_work=True), Guest(), Guest(), Guest()
    assert all(lobby.enter(guest) for guest in (busy, first, second, new))
    assert [guest.has_left for guest in (busy, first, second, new)] == [False, True, False, False]


def test_a_lobby_full_of_work_lets_nobody_in() -> None:
    lobby = Lobby(1)
    busy = Guest(has_work=True)
    assert lobby.enter(busy)
    assert not lobby.enter(Guest())
    lobby.forget(busy)
    assert lobby.enter(Guest())


def test_in_a_lobby_that_closes_everybody_asks_once_more_at_the_most() -> None:
    lobby = Lobby(3)
    busy, idle, late = Guest(has_work=True), Guest(), Guest()
    assert lobby.enter(busy) and lobby.enter(idle)
    lobby.close()
    assert lobby.enter(late)
    assert busy.is_last and idle.is_last and late.is_last
    assert lobby.is_resting
    lobby.forget(idle)
    lobby.forget(late)
    assert not lobby.is_resting


@given(st.integers(1, 4), st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
def test_there_are_never_more_guests_than_places(places: int, comings: list[tuple[bool, bool]]):
    lobby = Lobby(places)
    for has_work, then_goes in comings:
        guest = Guest(has_work)
        lobby.enter(guest)
        assert len(lobby) <= places
        if then_goes:
            lobby.forget(guest)


@asynccontextmanager
async def connected(
    server: Server,
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield reader, writer
    finally:
        writer.close()


async def replies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The status line of a probe's reply."""
    writer.write(PROBE)
    return await next_reply(reader)


async def next_reply(reader: asyncio.StreamReader) -> bytes:
    """Its status line, with the rest of it read."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return head.splitlines()[0]


async def is_closed(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def test_headers_that_do_not_come_in_time_lose_their_connection(make_config: MakeConfig):
    limits = ConnectionLimits(header_s=0.2, idle_s=NEVER_S)
    async with (
        serving(make_config(connections=limits)) as server,
        connected(server) as (silent, _),
        connected(server) as (slow, slow_writer),
    ):
        slow_writer.write(PROBE[:-2])
        assert await is_closed(silent)
        assert await is_closed(slow)


async def test_headers_of_a_later_request_must_come_in_time_too(make_config: MakeConfig):
    limits = ConnectionLimits(header_s=0.2, idle_s=NEVER_S)
    async with serving(make_config(connections=limits)) as server, connected(server) as both:
        reader, writer = both
        assert await replies(reader, writer) == b"HTTP/1.1 200 OK"
        writer.write(PROBE[:-2])
        assert await is_closed(reader)


async def begin_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a request's headers, and return when they have been taken; four bytes are to come."""
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n"
        b"expect: 100-continue\r\n\r\n"
    )
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"


async def test_a_body_may_take_longer_than_headers(make_config: MakeConfig):
    limits = ConnectionLimits(header_s=0.05, idle_s=NEVER_S)
    async with serving(make_config(connections=limits)) as server, connected(server) as both:
        reader, writer = both
        await begin_request(reader, writer)
        writer.write(b"nu")
        await asyncio.sleep(2 * limits.header_s)
        writer.write(b"ll")
        assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")


async def test_a_resting_connection_is_closed_after_its_time(make_config: MakeConfig):
    limits = ConnectionLimits(header_s=NEVER_S, idle_s=0.2)
    async with serving(make_config(connections=limits)) as server, connected(server) as both:
        assert await replies(*both) == b"HTTP/1.1 200 OK"
        assert await is_closed(both[0])


async def test_a_new_connection_takes_the_place_of_one_that_rests(make_config: MakeConfig):
    limits = ConnectionLimits(header_s=NEVER_S, idle_s=NEVER_S, max_connections=1)
    async with serving(make_config(connections=limits)) as server, connected(server) as first:
        assert await replies(*first) == b"HTTP/1.1 200 OK"
        async with connected(server) as second:
            assert await replies(*second) == b"HTTP/1.1 200 OK"
            assert await is_closed(first[0])


async def test_a_reader_who_takes_nothing_loses_its_place(make_config: MakeConfig):
    limits = ConnectionLimits(max_connections=1, write_s=0.05)
    async with serving(make_config(connections=limits)) as server, connected(server) as (_, writer):
        # More than the buffers of both ends hold; nothing of it is read here.
        writer.write(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 500)
        told = b""
        while not told.startswith(b"HTTP/1.1 200 "):
            async with connected(server) as (reader, other):
                other.write(PROBE)
                with contextlib.suppress(ConnectionResetError):
                    told = await reader.readline()


async def test_a_reader_who_takes_a_little_at_a_time_keeps_its_place(make_config: MakeConfig):
    limits = ConnectionLimits(write_s=0.05)
    num_replies = 200
    async with serving(make_config(connections=limits)) as server, connected(server) as both:
        reader, writer = both
        writer.write(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * num_replies)
        for _ in range(num_replies):
            assert await next_reply(reader) == b"HTTP/1.1 200 OK"


async def test_a_connection_too_many_is_told_so_while_all_others_have_work(
    make_config: MakeConfig,
):
    limits = ConnectionLimits(max_connections=1)
    async with serving(make_config(connections=limits)) as server, connected(server) as first:
        await begin_request(*first)
        async with connected(server) as (reader, _):
            told = await reader.read()
        assert told.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 2\r\n" in told
        assert b"\r\nx-request-id: req_" in told
        assert told.endswith(b'"code":"overloaded"}}')
        first[1].write(b"null")
        assert (await first[0].readline()).startswith(b"HTTP/1.1 400 ")


async def test_a_connection_of_a_peer_that_drains_ends_with_the_answer_under_way(
    make_config: MakeConfig,
):
    async with serving(make_config(fake_token_interval_ms=20)) as server:
        body = b'{"model":"fake","messages":[{"role":"user","content":"a"}],"max_tokens":20}'
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n"
        async with connected(server) as (reader, writer), connected(server) as (idle, _):
            writer.write(head % len(body) + body)
            changed = asyncio.Event()
            server.node.watch(changed.set)
            while not server.node.health.live_requests:
                changed.clear()
                await changed.wait()
            draining = asyncio.create_task(server.drain())
            reply = await reader.read()  # to the connection's end
            assert reply.startswith(b"HTTP/1.1 200") and b'"finish_reason":"length"' in reply
            assert await idle.read() == b""
            await draining


async def test_a_connection_of_a_peer_that_drains_is_answered_once_more_and_told_so(
    make_config: MakeConfig,
):
    limits = ConnectionLimits(farewell_s=NEVER_S)
    async with (
        serving(make_config(connections=limits)) as server,
        connected(server) as (reader, writer),
    ):
        assert await replies(reader, writer) == b"HTTP/1.1 200 OK"
        begun = asyncio.Event()
        server.node.watch(begun.set)
        draining = asyncio.create_task(server.drain())
        await begun.wait()
        writer.write(PROBE)
        reply = await reader.read()  # to the connection's end
        assert b"\r\nconnection: close\r\n" in reply.lower()
        await draining


async def test_a_connection_that_rests_is_let_go_a_while_after_the_drain_began(
    make_config: MakeConfig,
):
    limits = ConnectionLimits(farewell_s=0.2)
    async with (
        serving(make_config(connections=limits)) as server,
        connected(server) as (reader, writer),
    ):
        assert await replies(reader, writer) == b"HTTP/1.1 200 OK"
        clock = asyncio.get_running_loop().time
        began_s = clock()
        await server.drain()
        assert clock() - began_s >= 0.2
        assert await reader.read() == b""
