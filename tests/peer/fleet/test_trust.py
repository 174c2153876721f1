"""mTLS between peers: who is let in, and what a change of keys does to that."""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import tempfile
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from cortex.peer.errors import CannotKeepIdentity
from cortex.peer.fleet import trust as trust_module
from cortex.peer.fleet.trust import Trust, host_name
from cortex.peer.gossip.ids import NodeId
from cortex.peer.keys.fleet_key import FleetKey, new_fleet_key
from cortex.peer.keys.keyring import Keyring

HOST, CALLER = NodeId(b"the host"), NodeId(b"a caller")
RANDOM = random.Random(3)
NOWHERE = "/no such folder"


def new_key() -> FleetKey:
    return new_fleet_key(RANDOM.randbytes)


KEY = new_key()


@asynccontextmanager
async def listening(trust: Trust) -> AsyncGenerator[tuple[int, list[Any]]]:
    """A server that notes which member called and answers with one letter."""
    callers: list[Any] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.readexactly(1)
            callers.append(trust.node_of(writer.get_extra_info("peercert")))
            writer.write(b"!")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=trust.server_context())
    async with server:
        yield server.sockets[0].getsockname()[1], callers


async def is_let_in(port: int, context: ssl.SSLContext, name: str) -> bool:
    try:
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname=name
            )
            writer.write(b"?")
            answer = await reader.read(1)
    except (ssl.SSLError, ConnectionError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return answer == b"!"


async def test_members_of_one_fleet_let_each_other_in_and_know_who_calls():
    host, caller = Trust(Keyring(KEY), HOST), Trust(Keyring(KEY), CALLER)
    async with listening(host) as (port, callers):
        assert await is_let_in(port, caller.client_context(), host_name(HOST))
    assert callers == [CALLER]


def without_files_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a Python that was built for older systems, or for another than Linux."""
    monkeypatch.delattr(os, "memfd_create", raising=False)


def refusing_files_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: str) -> int:
        raise PermissionError("no such files here")

    monkeypatch.setattr(os, "memfd_create", refused, raising=False)


def without_names_for_files_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(_: str) -> int:
        return os.open(os.devnull, os.O_WRONLY)

    monkeypatch.setattr(os, "memfd_create", unreadable, raising=False)


def without_folder_for_files(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "memfd_create"):
        pytest.skip("this Python makes no files in memory")
    monkeypatch.setattr(tempfile, "tempdir", NOWHERE)


@pytest.mark.parametrize(
    "lack",
    [
        without_files_in_memory,
        refusing_files_in_memory,
        without_names_for_files_in_memory,
        without_folder_for_files,
    ],
)
async def test_a_peer_has_its_certificate_with_one_place_for_files(
    lack: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
):
    lack(monkeypatch)
    host, caller = Trust(Keyring(new_key()), HOST), Trust(Keyring(KEY), CALLER)
    host.rekey(Keyring(KEY))
    async with listening(host) as (port, callers):
        assert await is_let_in(port, caller.client_context(), host_name(HOST))
    assert callers == [CALLER]


def test_without_any_place_for_files_a_peer_says_which_folder_it_needs(
    monkeypatch: pytest.MonkeyPatch,
):
    host = Trust(Keyring(KEY), HOST)
    without_files_in_memory(monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", NOWHERE)
    with pytest.raises(CannotKeepIdentity, match=NOWHERE) as caught:
        Trust(Keyring(KEY), HOST)
    assert "/tmp" in caught.value.hint
    with pytest.raises(OSError, match=NOWHERE):
        host.rekey(Keyring(new_key()))


async def test_the_wrong_node_is_refused_by_its_caller():
    host, caller = Trust(Keyring(KEY), HOST), Trust(Keyring(KEY), CALLER)
    async with listening(host) as (port, callers):
        wrong = host_name(NodeId(b"another!"))
        assert not await is_let_in(port, caller.client_context(), wrong)
    assert callers == []


async def test_a_caller_with_another_key_or_without_certificate_is_refused():
    host, foreign = Trust(Keyring(KEY), HOST), Trust(Keyring(new_key()), CALLER)
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    foreign_but_blind = foreign.client_context()
    foreign_but_blind.check_hostname = False
    foreign_but_blind.verify_mode = ssl.CERT_NONE
    async with listening(host) as (port, callers):
        assert not await is_let_in(port, foreign.client_context(), host_name(HOST))
        assert not await is_let_in(port, blind, "anybody")
        assert not await is_let_in(port, foreign_but_blind, "anybody")
    assert callers == []


async def test_older_tls_is_refused():
    host, caller = Trust(Keyring(KEY), HOST), Trust(Keyring(KEY), CALLER)
    old = caller.client_context()
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with listening(host) as (port, _):
        assert not await is_let_in(port, old, host_name(HOST))


async def test_while_keys_change_both_are_let_in_and_the_dropped_one_no_longer():
    """The socket listens all the while: only handshakes that come later see the new ring."""
    new = new_key()
    before, both = Keyring(KEY), Keyring(KEY).adding(new)
    host, old, ahead = Trust(both, HOST), Trust(before, CALLER), Trust(both, CALLER)
    ahead.rekey(both.using(new.key_id))
    async with listening(host) as (port, callers):
        name = host_name(HOST)
        assert await is_let_in(port, old.client_context(), name)
        assert await is_let_in(port, ahead.client_context(), name)
        host.rekey(both.using(new.key_id).dropping(KEY.key_id))
        assert not await is_let_in(port, old.client_context(), name)
        assert await is_let_in(port, ahead.client_context(), name)
    assert callers == [CALLER, CALLER, CALLER]


async def test_a_connection_from_before_is_no_members_after_its_key_is_dropped():
    new = new_key()
    both = Keyring(KEY).adding(new)
    host, old = Trust(both, HOST), Trust(Keyring(KEY), CALLER)
    seen: list[Any] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        seen.append(writer.get_extra_info("peercert"))
        writer.close()

    server = await asyncio.start_server(keep, "127.0.0.1", 0, ssl=host.server_context())
    async with server:
        port = server.sockets[0].getsockname()[1]
        await is_let_in(port, old.client_context(), host_name(HOST))
    assert host.node_of(seen[0]) == CALLER
    host.rekey(both.using(new.key_id).dropping(KEY.key_id))
    assert host.node_of(seen[0]) is None


async def test_a_peer_that_changes_its_node_shows_the_new_one_at_once():
    host, caller = Trust(Keyring(KEY), HOST), Trust(Keyring(KEY), CALLER)
    renamed = NodeId(b"renamed!")
    async with listening(host) as (port, _):
        host.rename(renamed)
        assert not await is_let_in(port, caller.client_context(), host_name(HOST))
        assert await is_let_in(port, caller.client_context(), host_name(renamed))


async def test_a_node_and_keys_that_change_at_one_time_are_both_taken(
    monkeypatch: pytest.MonkeyPatch,
):
    new = new_key()
    host = Trust(Keyring(KEY), HOST)
    renaming = threading.Thread(target=host.rename, args=(CALLER,))
    issued = trust_module._issued  # pyright: ignore[reportPrivateUsage]

    def issued_meanwhile(keyring: Keyring, node: NodeId) -> Any:
        if renaming.ident is None:
            renaming.start()
            # Who does not wait for us has ended by then.
            renaming.join(0.2)
        return issued(keyring, node)

    monkeypatch.setattr(trust_module, "_issued", issued_meanwhile)
    host.rekey(Keyring(new))
    renaming.join()
    async with listening(host) as (port, _):
        newcomer = Trust(Keyring(new), HOST).client_context()
        assert await is_let_in(port, newcomer, host_name(CALLER))


@pytest.mark.parametrize(
    "certificate",
    [
        None,
        {},
        {"issuer": ((("commonName", "cortex fleet 00000000"),),)},
        {"subjectAltName": (("DNS", "x.cortex.internal"),)},
    ],
)
def test_what_is_no_members_certificate_names_nobody(certificate: Any):
    assert Trust(Keyring(KEY), HOST).node_of(certificate) is None
