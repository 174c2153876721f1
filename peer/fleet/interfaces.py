"""The network interfaces of this machine: which of them carry mDNS, which do not and why, and
which addresses to tell others.

The choice is made from values alone; only `read_interfaces` asks the system. Names are a habit and
no proof, so a list given by hand overrides them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import re
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, cast

import ifaddr

from ..addresses import WILDCARDS, is_loopback

# Every interface more is a copy more of every packet, and Linux joins at most 20 groups a socket.
MAX_INTERFACES = 8
POLL_S = 5.0
_EVERY_IPV4 = "0.0.0.0"
# Bridges and pairs that container engines and hypervisors make, and tunnels.
_VIRTUAL = re.compile(
    r"(docker|podman|nerdctl|br-|veth|virbr|vnet|vmnet|vboxnet|mpqemubr|waydroid"
    r"|cni|cilium|flannel|cali|weave|kube-|lxc|lxd|incus)"
)
_TUNNEL = re.compile(r"(tun|wg|tailscale|utun|zt)")
# netdevice(7).
_UP, _POINT_TO_POINT, _RUNNING, _MULTICAST = 0x1, 0x10, 0x40, 0x1000
_SIOCGIFFLAGS = 0x8913
_REQUEST = "16sH14x"
# proc(5) and linux/if_addr.h: IFA_F_TEMPORARY (RFC 8981), IFA_F_DEPRECATED.
_IF_INET6 = Path("/proc/net/if_inet6")
_FLEETING = 0x01 | 0x20


@dataclass(frozen=True, slots=True)
class Interface:
    """`ipv6` addresses that hold on this link alone carry its scope."""

    name: str
    index: int = 0
    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()
    is_up: bool = True
    has_multicast: bool = True
    is_point_to_point: bool = False

    @property
    def addresses(self) -> tuple[str, ...]:
        return self.ipv4 + self.ipv6

    @property
    def is_loopback(self) -> bool:
        return any(is_loopback(ip) for ip in self.addresses)


@dataclass(frozen=True, slots=True)
class Skipped:
    """`reason` goes on after the interface's name."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Choice:
    used: tuple[Interface, ...]
    skipped: tuple[Skipped, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(interface.name for interface in self.used)


Reader: TypeAlias = Callable[[], tuple[Interface, ...]]


def choose(
    interfaces: Iterable[Interface], wanted: Sequence[str] | None, bound_host: str = _EVERY_IPV4
) -> Choice:
    """Which interfaces to meet others on. `wanted` are names or addresses; None means those that
    look usable. Others cannot reach a port that is bound to one address over another interface.
    """
    used: list[Interface] = []
    skipped: list[Skipped] = []
    if wanted is not None:
        interfaces, skipped = _asked_for(tuple(interfaces), wanted)
    for interface in sorted(interfaces, key=lambda each: not each.is_loopback):
        reason = _unusable(interface, bound_host) or (
            _unlikely(interface) if wanted is None else None
        )
        if reason is None and len(used) == MAX_INTERFACES:
            reason = f"is one more than the {MAX_INTERFACES} that are used"
        if reason is None:
            used.append(interface)
        else:
            skipped.append(Skipped(interface.name, reason))
    return Choice(tuple(used), tuple(skipped))


def _asked_for(
    interfaces: tuple[Interface, ...], wanted: Sequence[str]
) -> tuple[tuple[Interface, ...], list[Skipped]]:
    def is_wanted(interface: Interface) -> bool:
        return any(word == interface.name or word in _plain(interface) for word in wanted)

    found = tuple(interface for interface in interfaces if is_wanted(interface))
    known = {word for each in found for word in (each.name, *_plain(each))}
    return found, [Skipped(word, "is not there") for word in wanted if word not in known]


def _plain(interface: Interface) -> set[str]:
    return {address.partition("%")[0] for address in interface.addresses}


def _unusable(interface: Interface, bound_host: str) -> str | None:
    if not interface.is_up:
        return "is down"
    if not interface.addresses:
        return "has no address"
    if bound_host in WILDCARDS or bound_host in _plain(interface):
        return None
    # Peers of this machine reach each of its addresses, whichever way they heard of it.
    return None if interface.is_loopback else f"is not where the fleet port listens ({bound_host})"


def _unlikely(interface: Interface) -> str | None:
    if interface.is_loopback:
        return None  # Linux does not call it multicast, and yet it is
    if _VIRTUAL.match(interface.name):
        return "is a bridge of containers or virtual machines"
    if interface.is_point_to_point or _TUNNEL.match(interface.name):
        return "is a tunnel, which carries no multicast"
    return None if interface.has_multicast else "carries no multicast"


def multicast_on(choice: Choice) -> list[str | int]:
    """What zeroconf is to use: an address for each interface, or its number where it has IPv6
    alone.
    """
    return [each.ipv4[0] if each.ipv4 else each.index for each in choice.used]


def addresses_to_tell(choice: Choice, bound_host: str) -> tuple[str, ...]:
    """Where others may reach the fleet port: never the loopback address, unless there is no other.
    Addresses of IPv6 are told where the port listens for it; those of one link, without their
    scope, where an interface has no others, for then its mDNS is IPv6 too and gives the scope back.
    """
    if bound_host not in WILDCARDS:
        return (bound_host,)
    told: list[str] = []
    for interface in choice.used:
        ipv6 = () if bound_host == _EVERY_IPV4 else interface.ipv6
        wide = [ip for ip in ipv6 if "%" not in ip]
        told += [*interface.ipv4, *wide] or [ip.partition("%")[0] for ip in ipv6]
    elsewhere = tuple(ip for ip in told if not is_loopback(ip))
    return elsewhere or tuple(ip for ip in told if ip.startswith("127."))[:1]


def addresses_to_dial(interfaces: Iterable[Interface], bound_host: str) -> tuple[str, ...]:
    """Where others may try the fleet port without having heard any multicast: tunnels are ways too.
    Addresses that mean something on one link alone, or on every machine, are none. Each interface's
    first of a family comes before any second one, for only a few are told.
    """
    if bound_host not in WILDCARDS:
        return (bound_host,)
    ways = [
        interface
        for interface in sorted(interfaces, key=lambda each: bool(_TUNNEL.match(each.name)))
        if interface.is_up and not interface.is_loopback and not _VIRTUAL.match(interface.name)
    ]
    lists = [_far_reaching(each.ipv4) for each in ways]
    if bound_host != _EVERY_IPV4:
        lists += [_far_reaching(each.ipv6) for each in ways]
    rounds = itertools.zip_longest(*lists)
    return tuple(ip for ips in rounds for ip in ips if ip is not None)


def _far_reaching(ips: Sequence[str]) -> list[str]:
    return [ip for ip in ips if "%" not in ip and not ipaddress.ip_address(ip).is_link_local]


async def watch_interfaces(
    read: Reader,
    first: tuple[Interface, ...],
    on_change: Callable[[tuple[Interface, ...]], None],
    poll_s: float = POLL_S,
) -> None:
    """Tell of each change of the interfaces, for ever. It counts when it was seen twice running: an
    interface that comes up passes through states that nobody should act on. What was read last
    holds while the system does not tell.
    """
    settled = last = first
    while True:
        await asyncio.sleep(poll_s)
        try:
            now = await asyncio.to_thread(read)
        except OSError:
            continue
        if now == last and now != settled:
            settled = now
            on_change(now)
        last = now


def read_interfaces() -> tuple[Interface, ...]:
    """All there are. May block for a moment."""
    fleeting = fleeting_ipv6(_IF_INET6)
    adapters = ifaddr.get_adapters(include_unconfigured=True)
    return tuple(_read(adapter, fleeting) for adapter in adapters)


def fleeting_ipv6(path: Path) -> frozenset[str]:
    """The addresses that stand for this machine for a day at most, so that nobody knows it by them;
    as the kernel's list tells. None where there is no list.
    """
    try:
        rows = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    except OSError:
        return frozenset()
    return frozenset(
        str(ipaddress.IPv6Address(bytes.fromhex(row[0])))
        for row in rows
        if int(row[4], 16) & _FLEETING
    )


def _read(adapter: ifaddr.Adapter, fleeting: frozenset[str]) -> Interface:
    name = str(adapter.nice_name)
    flags = _flags(name)
    ipv4 = tuple(cast(str, ip.ip) for ip in adapter.ips if ip.is_IPv4)
    ipv6 = tuple(_scoped(cast(tuple[str, int, int], ip.ip)) for ip in adapter.ips if ip.is_IPv6)
    return Interface(
        name=name,
        index=adapter.index or 0,
        ipv4=ipv4,
        ipv6=tuple(sorted(ipv6, key=lambda ip: ip in fleeting)),
        is_up=flags is None or flags & (_UP | _RUNNING) == _UP | _RUNNING,
        has_multicast=flags is None or bool(flags & _MULTICAST),
        is_point_to_point=flags is not None and bool(flags & _POINT_TO_POINT),
    )


def _scoped(address: tuple[str, int, int]) -> str:
    ip, _, scope = address
    return f"{ip}%{scope}" if scope and ipaddress.ip_address(ip).is_link_local else ip


def _flags(name: str) -> int | None:
    """None where the system has another way to tell them."""
    if sys.platform != "linux":
        return None
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            answer = fcntl.ioctl(asker, _SIOCGIFFLAGS, struct.pack(_REQUEST, name.encode(), 0))
        except OSError:  # it went away between the list and the question
            return 0
    flags: int = struct.unpack(_REQUEST, answer)[1]
    return flags
