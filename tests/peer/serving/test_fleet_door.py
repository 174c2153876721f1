"""The fleet's port: who is let in, and for how long."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from cortex.peer.bounds.limits import ConnectionLimits
from cortex.peer.config import PeerConfig
from cortex.peer.fleet.trust import Trust, host_name
from cortex.peer.gossip.ids import NodeId
from cortex.peer.keys.fleet_key import new_fleet_key
from cortex.peer.keys.keyring import Keyring, write_keyring
from cortex.peer.serving.listening import Door, opened
from cortex.peer.serving.server import Server
from tests.peer.in_memory import serving

MakeConfig = Callable[..., PeerConfig]
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]
OLD, NEW = (new_fleet_key(random.Random(number).randbytes) for number in (1, 2))
DEADLINE_S = 20


@asynccontextmanager
async def opened_by(trust: Trust, server: Server) -> AsyncGenerator[Line]:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        server.fleet_port,
        ssl=trust.client_context(),
        server_hostname=host_name(server.member.fleet.view.self_node),
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield reader, writer
    finally:
        writer.close()


async def get(line: Line, path: str) -> bytes:
    """The status line of the reply, whose head alone is read."""
    line[1].write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    return (await line[0].readuntil(b"\r\n\r\n")).splitlines()[0]


@asynccontextmanager
async def connected(config: PeerConfig) -> AsyncGenerator[tuple[Server, Line, Keyring]]:
    """A peer, a line to it from a member that knows the old key alone, and the ring without it."""
    assert config.fleet is not None
    both = Keyring(OLD).adding(NEW)
    write_keyring(config.fleet.key_file, both)
    laptop = Trust(Keyring(OLD), NodeId(b"a laptop"))
    async with serving(config) as server, opened_by(laptop, server) as line:
        yield server, line, both.using(NEW.key_id).dropping(OLD.key_id)


async def test_who_is_no_member_any_more_loses_streams_and_connections(make_config: MakeConfig):
    config = make_config()
    async with connected(config) as (server, line, without):
        assert await get(line, "/fleet/events") == b"HTTP/1.1 200 OK"
        assert config.fleet is not None
        write_keyring(config.fleet.key_file, without)
        await server.member.keys.look()
        with suppress(ConnectionResetError):
            while await line[0].read(65536):
                pass


async def test_a_certificate_that_counts_no_more_opens_nothing_in_the_meantime(
    make_config: MakeConfig,
):
    async with connected(make_config()) as (server, line, without):
        server.member.fleet.trust.rekey(without)
        assert await get(line, "/v1/models") == b"HTTP/1.1 403 Forbidden"


@pytest.mark.parametrize("is_shut_early", [True, False])
async def test_who_comes_when_the_fleets_port_is_shut_is_refused(is_shut_early: bool):
    context = Trust(Keyring(OLD), NodeId(b"the host")).server_context()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        door = Door(listener, context)
        async with asyncio.timeout(DEADLINE_S):
            async with opened(web.Application(), ConnectionLimits(), door) as (gate,):
                socket.create_connection(address).close()
                if is_shut_early:
                    gate.close()
                    while listener.fileno() >= 0:  # noqa: ASYNC110 - a socket tells nobody
                        await asyncio.sleep(0)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)
