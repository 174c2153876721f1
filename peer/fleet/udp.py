"""The fleet's port: one UDP socket for datagrams, and a TCP socket of the same number.

Sending never waits and never raises: a datagram that the system does not take is lost, as the
network might have lost it. What is in a datagram is not known here.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..config import FLEET_PORT, NUM_DEFAULT_PORTS
from ..errors import CannotListen, PortInUse
from ..gossip.envelope import MAX_DATAGRAM_BYTES
from ..gossip.records import Address
from ..port_holder import in_use

OnDatagram: TypeAlias = Callable[[Address, bytes], None]

# What comes while this process stands still waits here.
_RECEIVE_BUFFER_BYTES = 1024 * 1024
# Timers and other sockets have their turn after so many.
_MAX_A_TURN = 64
_BACKLOG = 128
_WILDCARDS = ("", "0.0.0.0", "::")
_MAPPED = "::ffff:"


@dataclass(frozen=True, slots=True)
class FleetSockets:
    """Both bound to one port; the TCP socket listens."""

    udp: socket.socket
    tcp: socket.socket

    @property
    def host(self) -> str:
        return self.udp.getsockname()[0]

    @property
    def port(self) -> int:
        return self.udp.getsockname()[1]

    def close(self) -> None:
        self.udp.close()
        self.tcp.close()


def bind_fleet(host: str, port: int | None) -> FleetSockets:
    """Port None is the default one, or the next even one that is free: the odd ones are the API's.

    "0.0.0.0" is every address of this machine, those of IPv6 too where it has them. Raises
    PortInUse for a port that was asked for, CannotListen for any other reason.
    """
    if port is not None:
        return _bind(host, port)
    last = FLEET_PORT + 2 * (NUM_DEFAULT_PORTS - 1)
    for candidate in range(FLEET_PORT, last + 1, 2):
        try:
            return _bind(host, candidate)
        except PortInUse:
            continue
    raise PortInUse(
        f"the even ports {FLEET_PORT} to {last} on {host} are all in use",
        "choose another with --fleet-port",
    )


def _bind(host: str, port: int) -> FleetSockets:
    if not 0 <= port <= 65535:
        raise CannotListen(f"{port} is no port", "ports are 0 to 65535")
    if host in _WILDCARDS:
        with contextlib.suppress(CannotListen):  # a machine without IPv6
            return _bind_both(socket.AF_INET6, "::", port)
        host = "0.0.0.0"
    return _bind_both(socket.AF_INET6 if ":" in host else socket.AF_INET, host, port)


def _bind_both(family: socket.AddressFamily, host: str, port: int) -> FleetSockets:
    """Raises PortInUse and CannotListen."""
    with contextlib.ExitStack() as closing:
        try:
            # A kernel without the family refuses the sockets themselves.
            tcp = closing.enter_context(socket.socket(family, socket.SOCK_STREAM))
            udp = closing.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            for each in (tcp, udp):
                each.setblocking(False)
                if family == socket.AF_INET6:
                    each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
            # A port that was just left may be taken again.
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind((host, port))
            udp.bind((host, tcp.getsockname()[1]))
            tcp.listen(_BACKLOG)
        except OSError as error:
            raise _refused(error, host, port) from None
        with contextlib.suppress(OSError):  # the system may give less, which is no error
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        closing.pop_all()
    return FleetSockets(udp, tcp)


def _refused(error: OSError, host: str, port: int) -> PortInUse | CannotListen:
    if error.errno == errno.EADDRINUSE:
        return PortInUse(
            f"fleet port {port} on {host} {in_use(port)}",
            "choose another with --fleet-port, or leave it out for the next free one",
        )
    return CannotListen(
        f"cannot listen on {host} port {port}: {error.strerror or error}",
        "name an address of this machine as the fleet's, such as 0.0.0.0",
    )


class Datagrams:
    """The UDP socket on a loop: what comes is handed on, what goes out is tried once."""

    def __init__(self, udp: socket.socket, on_datagram: OnDatagram) -> None:
        self.sent_bytes = self.received_bytes = 0
        self._udp = udp
        self._on_datagram = on_datagram

    def open(self) -> None:
        asyncio.get_running_loop().add_reader(self._udp, self._read)

    def close(self) -> None:
        """The socket itself stays open: it is its maker's."""
        asyncio.get_running_loop().remove_reader(self._udp)

    def send(self, address: Address, datagram: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._udp.sendto(datagram, socket_address(address, self._udp.family))
            self.sent_bytes += len(datagram)

    def _read(self) -> None:
        for _ in range(_MAX_A_TURN):
            try:
                # One byte more than any of ours has: what is longer shows itself.
                datagram, source = self._udp.recvfrom(MAX_DATAGRAM_BYTES + 1)
            except OSError:
                return  # nothing more, or an error that an earlier datagram met on its way
            self.received_bytes += len(datagram)
            self._on_datagram(address_of(source), datagram)


def address_of(source: tuple[Any, ...]) -> Address:
    """Where a datagram came from, in the words that any peer would use for it."""
    ip, port = source[0], source[1]
    if ip.startswith(_MAPPED):
        return Address(ip.removeprefix(_MAPPED), port)
    scope = source[3] if len(source) == 4 else 0
    if scope and "%" not in ip:
        ip = f"{ip}%{_interface_name(scope)}"
    return Address(ip, port)


def socket_address(address: Address, family: int) -> tuple[Any, ...]:
    """The address as a socket of that family takes it.

    Raises OSError or ValueError for one that it cannot reach. Only numbers are looked at: a name
    would be asked of a resolver, and hold everything up.
    """
    ip = ipaddress.ip_address(address.ip)
    if family == socket.AF_INET:
        if ip.version != 4:
            raise ValueError(f"{address.ip} is out of reach for a socket of IPv4")
        return str(ip), address.port
    if isinstance(ip, ipaddress.IPv4Address):
        return _MAPPED + str(ip), address.port, 0, 0
    plain, _, zone = str(ip).partition("%")
    scope = int(zone) if zone.isdecimal() else socket.if_nametoindex(zone) if zone else 0
    return plain, address.port, 0, scope


def _interface_name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:  # gone since
        return str(index)
