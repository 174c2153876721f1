"""Machines that are none: network namespaces of this one, joined by a switch that can misbehave.

One TAP device in each namespace, and a thread that carries frames between them as an Ethernet
switch does, multicast and IPv6 included: with loss, delay, doubling, partitions and links that work
one way only. It needs root and /dev/net/tun, and nothing of the kernel's traffic control, which
many machines lack. What is made is gone when the block ends, whatever happened in it.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import os
import random
import selectors
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

TUN = Path("/dev/net/tun")
# linux/if_tun.h
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
# linux/sched.h
_CLONE_NEWNET = 0x40000000
_ARP = b"\x08\x06"
_LARGEST_FRAME_BYTES = 65_535
_IDLE_S = 0.2


def why_not() -> str | None:
    """The reason why there can be no namespaces here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not os.access(TUN, os.R_OK | os.W_OK):
        return f"{TUN} is not there, or not ours to open"
    probe = f"cx{os.getpid()}-probe"
    try:
        subprocess.run(["ip", "netns", "add", probe], check=True, capture_output=True)
        subprocess.run(["ip", "netns", "del", probe], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"`ip netns add` does not work here: {error}"
    return None


@dataclass(slots=True)
class Conditions:
    """How bad the network is; changed while it runs. Numbers are those of the ports."""

    loss: float = 0.0
    doubling: float = 0.0
    delay_s: tuple[float, float] = (0.0, 0.0)
    group: dict[int, int] = field(default_factory=dict[int, int])
    # Who looks for an address is answered all the same: else nothing would go the other way either.
    one_way_cut: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])

    def carries(self, source: int, target: int, frame: bytes) -> bool:
        same = self.group.get(source, 0) == self.group.get(target, 0)
        is_cut = (source, target) in self.one_way_cut and frame[12:14] != _ARP
        return same and not is_cut


@dataclass(frozen=True, slots=True)
class Namespace:
    """One machine of the network, with one address besides its loopback."""

    name: str
    address: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """What stands before a command that is to run there. It keeps the process's id."""
        return ("ip", "netns", "exec", self.name)

    def call(self, action: Callable[[], T]) -> T:
        """Do it there: sockets that it opens are of that network for as long as they live."""
        results: list[T] = []
        errors: list[BaseException] = []

        def act() -> None:
            try:
                _enter(self.name)
                results.append(action())
            except BaseException as error:
                errors.append(error)

        # A thread of its own, because a thread that has moved stays moved.
        thread = threading.Thread(target=act)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]


class Switch:
    """Ports are numbered from 0, in the order of the namespaces."""

    def __init__(self, taps: Sequence[int], seed: int = 1) -> None:
        self.conditions = Conditions()
        self.num_bytes = [0 for _ in taps]  # sent by each port
        self._taps = list(taps)
        self._rng = random.Random(seed)
        self._ports: dict[bytes, int] = {}  # by hardware address
        self._late: list[tuple[float, int, int, bytes]] = []
        self._order = 0
        self._is_over = threading.Event()

    def carry(self) -> None:
        """Until `stop`."""
        with selectors.DefaultSelector() as selector:
            for port, tap in enumerate(self._taps):
                selector.register(tap, selectors.EVENT_READ, port)
            while not self._is_over.is_set():
                for key, _ in selector.select(self._patience_s()):
                    self._take_frames(key.data)
                self._send_late()

    def stop(self) -> None:
        self._is_over.set()

    def _patience_s(self) -> float:
        if not self._late:
            return _IDLE_S
        return min(_IDLE_S, max(0.0, self._late[0][0] - time.monotonic()))

    def _take_frames(self, source: int) -> None:
        with suppress(BlockingIOError):
            while True:
                frame = os.read(self._taps[source], _LARGEST_FRAME_BYTES)
                self.num_bytes[source] += len(frame)
                self._ports[frame[6:12]] = source
                for target in self._targets(source, frame):
                    self._pass_on(source, target, frame)

    def _targets(self, source: int, frame: bytes) -> list[int]:
        is_for_many = frame[0] & 1
        known = None if is_for_many else self._ports.get(frame[:6])
        targets = range(len(self._taps)) if known is None else (known,)
        return [target for target in targets if target != source]

    def _pass_on(self, source: int, target: int, frame: bytes) -> None:
        now = self.conditions
        if not now.carries(source, target, frame) or self._rng.random() < now.loss:
            return
        for _ in range(2 if self._rng.random() < now.doubling else 1):
            delay_s = self._rng.uniform(*now.delay_s)
            if delay_s <= 0:
                self._write(target, frame)
                continue
            self._order += 1
            due_s = time.monotonic() + delay_s
            heapq.heappush(self._late, (due_s, self._order, target, frame))

    def _send_late(self) -> None:
        while self._late and self._late[0][0] <= time.monotonic():
            _, _, target, frame = heapq.heappop(self._late)
            self._write(target, frame)

    def _write(self, target: int, frame: bytes) -> None:
        with suppress(OSError):  # a full queue loses frames, as a switch does
            os.write(self._taps[target], frame)


@contextmanager
def network(num_machines: int, seed: int = 1) -> Generator[tuple[Switch, list[Namespace]]]:
    """So many machines at one switch, for as long as the block lasts."""
    with ExitStack() as made:
        namespaces: list[Namespace] = []
        taps: list[int] = []
        for number in range(num_machines):
            name = f"cx{os.getpid()}-{number}"
            namespaces.append(Namespace(name, f"10.77.0.{number + 1}"))
            taps.append(_make_machine(made, namespaces[-1]))
        switch = Switch(taps, seed)
        thread = threading.Thread(target=switch.carry)
        thread.start()
        made.callback(thread.join)
        made.callback(switch.stop)
        yield switch, namespaces


def _make_machine(made: ExitStack, namespace: Namespace) -> int:
    """The namespace, and the end of its cable."""
    name, tap = namespace.name, namespace.name[:15]
    _ip("netns", "add", name)
    made.callback(_ip, "netns", "del", name)
    cable = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    made.callback(os.close, cable)
    fcntl.ioctl(cable, _TUNSETIFF, struct.pack("16sH", tap.encode(), _IFF_TAP | _IFF_NO_PI))
    _ip("link", "set", tap, "netns", name)
    _ip("-n", name, "link", "set", tap, "name", "eth0")
    _ip("-n", name, "addr", "add", f"{namespace.address}/24", "dev", "eth0")
    _ip("-n", name, "link", "set", "eth0", "up")
    _ip("-n", name, "link", "set", "lo", "up")
    _ip("-n", name, "route", "add", "default", "dev", "eth0")
    return cable


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _enter(name: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with (Path("/run/netns") / name).open() as file:
        if libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), name)
