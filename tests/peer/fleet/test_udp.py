"""The fleet's port, and datagrams over real sockets."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from contextlib import closing

import pytest

from cortex.peer.config import FLEET_PORT
from cortex.peer.errors import CannotListen, PortInUse
from cortex.peer.fleet.udp import Datagrams, address_of, bind_fleet, socket_address
from cortex.peer.gossip.records import Address

HAS_IPV6 = socket.has_dualstack_ipv6()


def test_both_sockets_have_one_number():
    with closing(bind_fleet("127.0.0.1", 0)) as sockets:
        assert sockets.udp.getsockname() == sockets.tcp.getsockname() == ("127.0.0.1", sockets.port)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_was_asked_for_and_is_busy_for_either_is_an_error(kind: socket.SocketKind):
    with closing(socket.socket(socket.AF_INET, kind)) as busy:
        busy.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(
            PortInUse, match=f"fleet port {port} on 127.0.0.1 is taken by process {os.getpid()} "
        ):
            bind_fleet("127.0.0.1", port)


def test_the_default_port_gives_way_to_the_next_even_one():
    with (
        closing(bind_fleet("127.0.0.1", None)) as first,
        closing(bind_fleet("127.0.0.1", None)) as second,
    ):
        assert FLEET_PORT <= first.port < second.port
        assert first.port % 2 == second.port % 2 == 0


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("127.0.0.1", 70_000)])
def test_what_is_not_ours_to_listen_on_is_an_error(host: str, port: int):
    with pytest.raises(CannotListen):
        bind_fleet(host, port)


def test_all_addresses_are_those_of_ipv4_where_the_kernel_has_no_ipv6(
    monkeypatch: pytest.MonkeyPatch,
):
    class OfIPv4(socket.socket):
        def __init__(self, family: int, kind: int) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
            super().__init__(family, kind)

    monkeypatch.setattr(socket, "socket", OfIPv4)
    with closing(bind_fleet("0.0.0.0", 0)) as sockets:
        assert sockets.udp.family == sockets.tcp.family == socket.AF_INET
    with pytest.raises(CannotListen):
        bind_fleet("::1", 0)


async def heard_by(receiver_host: str, sender_host: str, to: str) -> tuple[Address, bytes]:
    heard: asyncio.Future[tuple[Address, bytes]] = asyncio.get_running_loop().create_future()

    def on_datagram(address: Address, datagram: bytes) -> None:
        heard.set_result((address, datagram))

    with (
        closing(bind_fleet(receiver_host, 0)) as receiving,
        closing(bind_fleet(sender_host, 0)) as sending,
    ):
        receiver = Datagrams(receiving.udp, on_datagram)
        sender = Datagrams(sending.udp, on_datagram)
        receiver.open()
        sender.send(Address(to, receiving.port), b"hello")
        async with asyncio.timeout(10):
            address, datagram = await heard
        receiver.close()
        assert sender.sent_bytes == receiver.received_bytes == 5
        assert address.port == sending.port
    return address, datagram


async def test_a_datagram_arrives_with_the_address_it_came_from():
    address, datagram = await heard_by("127.0.0.1", "127.0.0.1", "127.0.0.1")
    assert (address.ip, datagram) == ("127.0.0.1", b"hello")


@pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 here")
@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
async def test_a_socket_on_all_addresses_speaks_both_families(ip: str):
    address, _ = await heard_by("0.0.0.0", "0.0.0.0", ip)
    assert address.ip == ip


@pytest.mark.parametrize(
    "ip", ["999.1.1.1", "2001:db8::1", "fe80::1%nosuchinterface", "fe80::1", "0.0.0.256"]
)
def test_what_cannot_be_sent_is_lost_and_nobody_is_asked_for_its_name(
    ip: str, monkeypatch: pytest.MonkeyPatch
):
    def resolve(*_: object, **__: object) -> None:
        raise AssertionError("a resolver was asked")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with closing(bind_fleet("127.0.0.1", 0)) as sockets:
        datagrams = Datagrams(sockets.udp, lambda address, datagram: None)
        datagrams.send(Address(ip, 9), b"hello")
    assert datagrams.sent_bytes == 0


def test_addresses_are_written_as_any_peer_would():
    assert address_of(("::ffff:10.0.0.1", 7, 0, 0)) == Address("10.0.0.1", 7)
    assert address_of(("10.0.0.1", 7)) == Address("10.0.0.1", 7)
    loopback = socket.if_nametoindex("lo")
    scoped = address_of(("fe80::1", 7, 0, loopback))
    assert scoped == Address("fe80::1%lo", 7)
    assert socket_address(scoped, socket.AF_INET6) == ("fe80::1", 7, 0, loopback)
    assert socket_address(Address("fe80::1%3", 7), socket.AF_INET6) == ("fe80::1", 7, 0, 3)
    assert socket_address(Address("10.0.0.1", 7), socket.AF_INET6)[0] == "::ffff:10.0.0.1"
