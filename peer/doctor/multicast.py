"""Whether multicast works: a question is sent on each interface, and heard back or not.

It is a plain question of mDNS for our kind of service, asked from a port of its own, so that peers
answer it straight: whoever answers has heard it.
"""

from __future__ import annotations

import errno
import secrets
import select
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..fleet.beacons import SERVICE_TYPE
from ..fleet.interfaces import Choice, Interface
from ..units import counted
from .advice import let_through
from .findings import Finding, fail, ok, warn

GROUP, PORT = "224.0.0.251", 5353
LISTEN_S = 1.5
_PTR, _IN = 12, 1
_MEND_TAKEN = "end that program (avahi: have it share, disallow-other-stacks=no)"


@dataclass(frozen=True, slots=True)
class Heard:
    """`num_answers` is from how many addresses the question was answered; `problem` is why it could
    not be asked.
    """

    interface: str
    ip: str
    is_loopback: bool
    own: bool = False
    num_answers: int = 0
    problem: str = ""


def hear_back(interface: Interface, listen_s: float = LISTEN_S) -> Heard:
    """Ask on this interface, and listen. Blocks for so long."""
    ip = interface.ipv4[0]
    heard = Heard(interface.name, ip, interface.is_loopback)
    try:
        with _listener(ip) as listener, _asker(ip) as asker:
            number = secrets.randbelow(1 << 16)
            asker.sendto(_question(number), (GROUP, PORT))
            own, answers = _listen(listener, asker, number, listen_s)
    except OSError as error:
        return Heard(interface.name, ip, interface.is_loopback, problem=_why(error))
    return Heard(heard.interface, ip, heard.is_loopback, own, len(answers - {ip}))


def judge_interfaces(choice: Choice, seed: str) -> Iterator[Finding]:
    """`seed` is HOST:PORT of a peer to join without multicast, or words that stand for one."""
    names = ", ".join(f"{each.name} ({', '.join(each.ipv4 or each.ipv6)})" for each in choice.used)
    if choice.used:
        yield ok("interfaces", f"peers are looked for on {names}")
    else:
        fix = "connect to a network, or name interfaces with --mdns-interfaces"
        yield fail("interfaces", "no network interface can be used", fix)
    for skipped in choice.skipped:
        text = f"{skipped.name} is not used: it {skipped.reason}"
        if skipped.reason == "is not there":
            yield warn("interfaces", text, "name one of those that `ip address` shows")
        else:
            yield ok("interfaces", text)
    if choice.used and all(each.is_loopback for each in choice.used):
        text = "no interface to other machines carries multicast: only peers of this one are found"
        fix = f"connect to a network that does, or do without: cortex peer --join {seed}"
        is_silent = any("carries no multicast" in each.reason for each in choice.skipped)
        yield (fail if is_silent else warn)("interfaces", text, fix)


def judge_multicast(heard: Iterable[Heard], seed: str) -> Iterator[Finding]:
    """`seed` as above."""
    for each in heard:
        where = f"multicast on {each.interface} ({each.ip})"
        if each.problem:
            fix = f"{_MEND_TAKEN}, or do without: cortex peer --join {seed}"
            yield fail("multicast", f"{where} cannot be tried: {each.problem}", fix)
        elif each.own:
            others = f", {counted(each.num_answers, 'other answer')}" if each.num_answers else ""
            yield ok("multicast", f"{where} is heard back{others}")
        else:
            text = f"{where}: sent, and not heard back; a firewall drops UDP port {PORT}"
            fix = f"{let_through(PORT, 'udp')}; or do without: cortex peer --join {seed}"
            yield warn("multicast", text, fix) if each.is_loopback else fail("multicast", text, fix)


def _listener(ip: str) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("", PORT))
        membership = socket.inet_aton(GROUP) + socket.inet_aton(ip)
        listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _asker(ip: str) -> socket.socket:
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        asker.bind((ip, 0))
        asker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(ip))
        asker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        asker.setblocking(False)
    except OSError:
        asker.close()
        raise
    return asker


def _question(number: int) -> bytes:
    labels = SERVICE_TYPE.rstrip(".").split(".")
    name = b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"
    return struct.pack(">HHHHHH", number, 0, 1, 0, 0, 0) + name + struct.pack(">HH", _PTR, _IN)


def _listen(
    listener: socket.socket, asker: socket.socket, number: int, listen_s: float
) -> tuple[bool, set[str]]:
    """Whether our own question came, and from where answers to it did."""
    own, answers = False, set[str]()
    until_s = time.monotonic() + listen_s
    while (left_s := until_s - time.monotonic()) > 0:
        ready, _, _ = select.select([listener, asker], [], [], left_s)
        for each in ready:
            datagram, source = each.recvfrom(9000)
            if len(datagram) < 12 or datagram[:2] != number.to_bytes(2, "big"):
                continue
            if each is asker:
                answers.add(source[0])
            else:
                own = own or source == asker.getsockname()
    return own, answers


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"another program keeps UDP port {PORT} for itself"
    return error.strerror or str(error)
