"""Connections that have shown no certificate yet: how many, of whom, and for how long."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager, suppress

import pytest

from cortex.peer.fleet.trust import Trust, host_name
from cortex.peer.gossip.ids import NodeId
from cortex.peer.keys.fleet_key import new_fleet_key
from cortex.peer.keys.keyring import Keyring
from cortex.peer.serving import threshold
from cortex.peer.serving.threshold import Threshold

HOST, CALLER = NodeId(b"the host"), NodeId(b"a caller")
KEYRING = Keyring(new_fleet_key(random.Random(1).randbytes))
DEADLINE_S = 20
# Far longer than any test: what ends within it was not ended by this.
NEVER_S = 600.0


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


@asynccontextmanager
async def opened(handshake_s: float = NEVER_S) -> AsyncGenerator[int]:
    """A door of members; its port."""
    context = Trust(KEYRING, HOST).server_context()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = asyncio.create_task(Threshold(listener, context, Echo, handshake_s).run())
        try:
            async with asyncio.timeout(DEADLINE_S):
                yield listener.getsockname()[1]
        finally:
            assert not running.done()
            running.cancel()
            await asyncio.wait({running})


class Counting(socket.socket):
    """A listener that knows how often it let somebody in."""

    num_accepted = 0

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        came = super().accept()
        self.num_accepted += 1
        return came


class Silent:
    """One that comes and says nothing."""

    def __init__(self, source: str = "127.0.0.1") -> None:
        self._socket = socket.socket()
        self._socket.bind((source, 0))
        self._socket.setblocking(False)

    async def comes(self, port: int) -> None:
        await asyncio.get_running_loop().sock_connect(self._socket, ("127.0.0.1", port))

    async def says(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def is_sent_away(self) -> bool:
        """Return when it is, whatever it is told before."""
        with suppress(ConnectionResetError):
            while await asyncio.get_running_loop().sock_recv(self._socket, 1024):
                pass
        return True

    @property
    def waits(self) -> bool:
        with suppress(BlockingIOError):
            return bool(self._socket.recv(1))
        return True

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


async def is_answered(port: int) -> bool:
    return await is_let_in(socket.create_connection(("127.0.0.1", port)))


async def is_let_in(connection: socket.socket) -> bool:
    reader, writer = await asyncio.open_connection(
        sock=connection,
        ssl=Trust(KEYRING, CALLER).client_context(),
        server_hostname=host_name(HOST),
    )
    writer.write(b"?")
    answer = await reader.readexactly(1)
    writer.close()
    return answer == b"?"


async def test_who_shows_nothing_is_sent_away_after_a_while():
    with Silent() as silent:
        async with opened(handshake_s=0.1) as port:
            await silent.comes(port)
            assert await silent.is_sent_away()


async def test_of_one_address_few_wait_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threshold, "_MAX_WAITING_OF_ONE", 2)
    monkeypatch.setattr(threshold, "_WHILE_S", 0.0)
    with Silent("127.0.0.2") as other, Silent() as first, Silent() as second, Silent() as third:
        async with opened() as port:
            for silent in (other, first, second, third):
                await silent.comes(port)
            assert await first.is_sent_away()
            assert await is_answered(port)
            assert await second.is_sent_away()
            assert third.waits and other.waits


async def test_of_all_addresses_few_wait_and_a_member_gets_in(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threshold, "_MAX_WAITING", 2)
    monkeypatch.setattr(threshold, "_WHILE_S", 0.0)
    with Silent("127.0.0.2") as first, Silent("127.0.0.3") as second, Silent("127.0.0.4") as third:
        async with opened() as port:
            for silent in (first, second, third):
                await silent.comes(port)
            assert await first.is_sent_away()
            assert await is_answered(port)
            assert await second.is_sent_away()
            assert third.waits


async def test_one_address_that_fills_the_place_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threshold, "_WHILE_S", NEVER_S)
    monkeypatch.setattr(threshold, "_MAX_WAITING", 4)
    monkeypatch.setattr(threshold, "_MAX_WAITING_OF_ONE", 2)
    with ExitStack() as stack:
        other = stack.enter_context(Silent("127.0.0.3"))
        flood = [stack.enter_context(Silent("127.0.0.2")) for _ in range(6)]
        async with opened() as port:
            for silent in (other, *flood):
                await silent.comes(port)
            assert await is_answered(port)
            for silent in flood[:3]:
                assert await silent.is_sent_away()
            assert other.waits and flood[-1].waits


async def test_what_is_no_tls_harms_nobody():
    with Silent() as talker:
        async with opened() as port:
            await talker.comes(port)
            await talker.says(b"GET / HTTP/1.1\r\n\r\n")
            assert await talker.is_sent_away()
            assert await is_answered(port)


@pytest.mark.parametrize(("num_addresses", "max_waiting"), [(1, 20), (10, 6)])
async def test_all_who_came_while_nobody_looked_are_let_in(
    num_addresses: int, max_waiting: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(threshold, "_WHILE_S", NEVER_S)
    monkeypatch.setattr(threshold, "_MAX_WAITING", max_waiting)
    monkeypatch.setattr(threshold, "_MAX_WAITING_OF_ONE", 3)
    context = Trust(KEYRING, HOST).server_context()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sources = [(f"127.0.0.{2 + number % num_addresses}", 0) for number in range(20)]
        came = [socket.create_connection(listener.getsockname(), None, each) for each in sources]
        running = asyncio.create_task(Threshold(listener, context, Echo, NEVER_S).run())
        async with asyncio.timeout(DEADLINE_S):
            assert all(await asyncio.gather(*map(is_let_in, came)))
        running.cancel()
        await asyncio.wait({running})


async def test_between_two_who_come_everybody_else_has_a_turn():
    context = Trust(KEYRING, HOST).server_context()
    with Counting() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        came = [socket.create_connection(listener.getsockname()) for _ in range(20)]
        running = asyncio.create_task(Threshold(listener, context, Echo, NEVER_S).run())
        for num_turns in range(1, 4):
            await asyncio.sleep(0)
            assert listener.num_accepted <= num_turns
        assert listener.num_accepted
        running.cancel()
        await asyncio.wait({running})
        for connection in came:
            connection.close()
