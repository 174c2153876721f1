"""Discovery with the real library, on the loopback interface alone."""

from __future__ import annotations

import asyncio
import errno
import itertools
import secrets
import struct
import tracemalloc
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from random import Random

import pytest
from zeroconf.asyncio import AsyncZeroconf

from cortex.peer.fleet.beacons import SERVICE_TYPE, Beacon
from cortex.peer.fleet.dialling import MAX_IN_FLIGHT
from cortex.peer.fleet.interfaces import Interface, Reader
from cortex.peer.fleet.mdns import MdnsDiscovery, MdnsWish, OpenZeroconf
from cortex.peer.fleet.mdns_session import MAX_RESOLVING, MdnsTiming
from cortex.peer.fleet.sightings import Hearer
from cortex.peer.gossip.ids import BootId, NodeId

LOOPBACK = Interface("lo", 1, ("127.0.0.1",))
HERE = MdnsWish(bound_host="127.0.0.1")
QUICK = MdnsTiming(poll_s=0.05, conflict_rest_s=0.01, shortest_rest_s=0.01)
LIMIT_S = 20.0
A, PTR, TXT, SRV = 1, 12, 16, 33


@pytest.fixture(autouse=True)
async def multicast_here() -> None:
    """Whether the port is anybody's to share, and the loopback interface carries multicast."""
    try:
        await open_loopback(["127.0.0.1"]).async_close()
    except OSError as error:
        pytest.skip(f"no mDNS on the loopback interface: {error}")


def open_loopback(interfaces: Sequence[str | int]) -> AsyncZeroconf:
    return AsyncZeroconf(interfaces=list(interfaces))


def loopback_alone() -> tuple[Interface, ...]:
    return (LOOPBACK,)


class Ear:
    def __init__(self, *, is_met: bool = False) -> None:
        self.addresses: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self.foreign: asyncio.Queue[tuple[bytes, str, str]] = asyncio.Queue()
        self.notices: asyncio.Queue[str] = asyncio.Queue()
        self.is_met = is_met
        self.is_alone = True

    @property
    def hearer(self) -> Hearer:
        return Hearer(
            on_address=lambda ip, port: self.addresses.put_nowait((ip, port)),
            on_foreign=lambda tag, name, at: self.foreign.put_nowait((tag, name, at)),
            on_notice=self.notices.put_nowait,
            on_hint=self.notices.put_nowait,
            is_met=lambda node: self.is_met,
            is_alone=lambda: self.is_alone,
        )


def beacon(name: str, tag: bytes, port: int = 13132) -> Beacon:
    node, boot = NodeId(secrets.token_bytes(8)), BootId(secrets.token_bytes(8))
    return Beacon(node, boot, (tag,), name, port, 13131)


@asynccontextmanager
async def discovering(
    own: Beacon,
    ear: Ear,
    read: Reader = loopback_alone,
    open_zeroconf: OpenZeroconf = open_loopback,
    timing: MdnsTiming = QUICK,
) -> AsyncGenerator[MdnsDiscovery]:
    discovery = MdnsDiscovery(
        own, ear.hearer, HERE, timing=timing, read=read, open_zeroconf=open_zeroconf
    )
    discovery.start()
    try:
        yield discovery
    finally:
        await discovery.stop()


async def soon(told: Awaitable[object]) -> object:
    async with asyncio.timeout(LIMIT_S):
        return await told


async def test_two_peers_of_one_fleet_find_each_other() -> None:
    tag, ears = secrets.token_bytes(8), (Ear(), Ear())
    async with AsyncExitStack() as stack:
        for ear, port in zip(ears, (20001, 20002), strict=True):
            discovery = discovering(beacon("atlas", tag, port), ear)
            await stack.enter_async_context(discovery)

        assert await soon(ears[0].addresses.get()) == ("127.0.0.1", 20002)
        assert await soon(ears[1].addresses.get()) == ("127.0.0.1", 20001)


async def test_a_foreign_fleet_is_told_and_not_dialled() -> None:
    ours, theirs = Ear(), Ear()
    tag = secrets.token_bytes(8)
    async with (
        discovering(beacon("atlas", secrets.token_bytes(8)), ours),
        discovering(beacon("borea", tag, 20003), theirs),
    ):
        told = [await soon(ours.foreign.get())]
        while (tag, "borea", "127.0.0.1:20003") not in told:  # other fleets may be on this machine
            told.append(await soon(ours.foreign.get()))

    assert ours.addresses.empty()


async def test_a_changed_node_is_found_under_its_new_name() -> None:
    tag, ear = secrets.token_bytes(8), Ear()
    first = beacon("borea", tag, 20001)
    async with (
        discovering(beacon("atlas", tag), ear),
        discovering(first, Ear()) as other,
    ):
        assert await soon(ear.addresses.get()) == ("127.0.0.1", 20001)
        other.announce(replace(beacon("borea", tag), fleet_port=20002))

        while await soon(ear.addresses.get()) != ("127.0.0.1", 20002):
            pass


async def test_a_name_that_is_taken_is_a_notice_and_others_are_still_found() -> None:
    tag, ear, third = secrets.token_bytes(8), Ear(), beacon("celia", secrets.token_bytes(8), 20009)
    own = beacon("atlas", tag)
    async with AsyncExitStack() as stack:
        other = Ear()
        await stack.enter_async_context(discovering(beacon("borea", tag), other))
        await stack.enter_async_context(discovering(own, Ear()))
        await soon(other.addresses.get())  # it is registered
        await stack.enter_async_context(discovering(own, ear))

        assert f"announces itself as {own.node.hex()}" in str(await soon(ear.notices.get()))
        await stack.enter_async_context(discovering(replace(third, tags=(tag,)), Ear()))
        while await soon(ear.addresses.get()) != ("127.0.0.1", 20009):
            pass


async def test_a_name_that_was_taken_is_had_once_it_is_free() -> None:
    tag, ear, other, own = secrets.token_bytes(8), Ear(), Ear(), beacon("atlas", b"ourfleet")
    own = replace(own, tags=(tag,))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(discovering(beacon("borea", tag), other))
        async with discovering(own, Ear()):
            assert await soon(other.addresses.get()) == ("127.0.0.1", 13132)
            moved, quick = replace(own, fleet_port=20004), replace(QUICK, look_again_s=0.05)
            await stack.enter_async_context(discovering(moved, ear, timing=quick))
            said = [await soon(ear.notices.get()) for _ in range(2)]
            assert said[0] == said[1], "it is told for as long as it is so"
        while await soon(other.addresses.get()) != ("127.0.0.1", 20004):
            pass


async def test_a_foreign_fleet_is_seen_again_by_who_is_not_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cortex.peer.fleet.sightings._AGAIN_S", 0.0)
    tag, ear = secrets.token_bytes(8), Ear()
    ear.is_alone = False
    timing = replace(QUICK, look_again_s=3600.0, review_s=0.05)
    async with (
        discovering(beacon("borea", tag, 20003), Ear()),
        discovering(beacon("atlas", secrets.token_bytes(8)), ear, timing=timing),
    ):
        num_told = 0
        while num_told < 10:  # its record comes, and is changed, a few times by itself
            num_told += await soon(ear.foreign.get()) == (tag, "borea", "127.0.0.1:20003")


async def test_a_port_that_another_program_keeps_is_a_notice_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "cortex.peer.fleet.mdns")
    tag, ear, other = secrets.token_bytes(8), Ear(), Ear()
    failures = iter(range(3))

    def fail_first(interfaces: Sequence[str | int]) -> AsyncZeroconf:
        if next(failures, None) is not None:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return open_loopback(interfaces)

    async with (
        discovering(beacon("borea", tag, 20002), other),
        discovering(beacon("atlas", tag), ear, open_zeroconf=fail_first),
    ):
        assert await soon(ear.addresses.get()) == ("127.0.0.1", 20002)

    said = [str(ear.notices.get_nowait()) for _ in range(3)]
    assert all("UDP port 5353" in each for each in said), "for as long as it is so"
    assert ear.notices.empty()
    assert caplog.text.count("mdns failed") == 1


async def test_without_an_interface_there_is_a_notice_that_says_why() -> None:
    ear = Ear()
    down = replace(LOOPBACK, is_up=False)
    async with discovering(beacon("atlas", b"ourfleet"), ear, read=lambda: (down,)):
        assert "lo is down" in str(await soon(ear.notices.get()))


async def test_a_new_address_of_this_machine_is_told_to_others() -> None:
    tag, ear = secrets.token_bytes(8), Ear()
    readings = itertools.chain([LOOPBACK] * 4, itertools.repeat(Interface("lo", 1, ("127.0.0.2",))))
    own = replace(beacon("borea", tag, 20002))
    moving = MdnsDiscovery(
        own,
        Ear().hearer,
        MdnsWish(),
        timing=QUICK,
        read=lambda: (next(readings),),
        open_zeroconf=open_loopback,
    )
    both = replace(LOOPBACK, ipv4=("127.0.0.1", "127.0.0.2"))
    async with discovering(beacon("atlas", tag), ear, read=lambda: (both,)):
        moving.start()
        try:
            while await soon(ear.addresses.get()) != ("127.0.0.2", 20002):
                pass
        finally:
            await moving.stop()


async def test_a_lonely_peer_looks_again_at_what_it_knows() -> None:
    tag, ear = secrets.token_bytes(8), Ear(is_met=True)
    timing = replace(QUICK, look_again_s=0.2)
    witness = Ear()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(discovering(beacon("atlas", tag), ear, timing=timing))
        await stack.enter_async_context(discovering(beacon("celia", tag), witness))
        await stack.enter_async_context(discovering(beacon("borea", tag, 20002), Ear()))
        while await soon(witness.addresses.get()) != ("127.0.0.1", 20002):
            pass
        assert ear.addresses.empty()  # who is met is not dialled

        ear.is_met = False  # and now it is lost, though its record says that it is there

        while await soon(ear.addresses.get()) != ("127.0.0.1", 20002):
            pass


def wire_name(name: str) -> bytes:
    labels = [label.encode() for label in name.rstrip(".").split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def record(name: str, kind: int, data: bytes) -> bytes:
    return wire_name(name) + struct.pack(">HHIH", kind, 1, 4500, len(data)) + data


def answer(*records: bytes) -> bytes:
    return struct.pack(">HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def bogus(number: int, *, is_whole: bool) -> bytes:
    """What one of a flood of peers would send: all of it, or its name alone."""
    node = NodeId(number.to_bytes(8, "big"))
    told = replace(beacon("bogus", b"ourfleet"), node=node)
    pointer = record(SERVICE_TYPE, PTR, wire_name(told.instance))
    if not is_whole:
        return answer(pointer)
    words = [f"{key}={value}".encode() for key, value in told.text.items()]
    return answer(
        pointer,
        record(told.instance, SRV, struct.pack(">HHH", 0, 0, 13132) + wire_name(told.server)),
        record(told.instance, TXT, b"".join(bytes([len(word)]) + word for word in words)),
        record(told.server, A, bytes((10, 9, number >> 8, number & 255))),
    )


@asynccontextmanager
async def hearing_only_the_test(ear: Ear) -> AsyncGenerator[Callable[[bytes], None]]:
    """A discovery that is given datagrams by hand."""
    opened: asyncio.Queue[AsyncZeroconf] = asyncio.Queue()

    def open_unheard(interfaces: Sequence[str | int]) -> AsyncZeroconf:
        zeroconf = AsyncZeroconf(interfaces=list(interfaces), unicast=True)
        opened.put_nowait(zeroconf)
        return zeroconf

    async with discovering(beacon("atlas", b"ourfleet"), ear, open_zeroconf=open_unheard):
        zeroconf = (await opened.get()).zeroconf
        await zeroconf.async_wait_for_start()
        listener = zeroconf.engine.protocols[0]
        yield lambda datagram: listener.datagram_received(datagram, ("127.0.0.1", 5353))


async def test_a_flood_of_bogus_peers_is_dialled_a_few_at_a_time_in_bounded_memory() -> None:
    ear, loop = Ear(), asyncio.get_running_loop()
    packets = [bogus(number, is_whole=bool(number % 4)) for number in range(3_000)]
    async with hearing_only_the_test(ear) as hear:
        num_tasks, began_s = len(asyncio.all_tasks()), loop.time()
        tracemalloc.start()
        try:
            for packet in packets:
                hear(packet)
            grown_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        took_s = loop.time() - began_s

        assert 0 < len(asyncio.all_tasks()) - num_tasks <= MAX_RESOLVING
        assert 0 < ear.addresses.qsize() <= MAX_IN_FLIGHT * (1 + took_s)
        assert grown_bytes < 12 * 1024 * 1024


async def test_what_is_no_answer_of_ours_raises_nothing() -> None:
    ear, rng = Ear(), Random(7)
    good = bogus(77, is_whole=True)
    async with hearing_only_the_test(ear) as hear:
        for name in ("printer", f"two.words.{SERVICE_TYPE}", f"{'f' * 16}.{SERVICE_TYPE}", "x"):
            pointer = record(SERVICE_TYPE, PTR, wire_name(name))
            text = record(name, TXT, b"\x05\xffnons\x00")
            service = record(name, SRV, struct.pack(">HHH", 0, 0, 0) + wire_name(name))
            hear(answer(pointer, text, service, record(name, A, bytes(4))))
        assert ear.addresses.empty()

        for _ in range(2000):
            mutated = bytearray(good)
            mutated[rng.randrange(len(mutated))] = rng.randrange(256)
            hear(bytes(mutated[: rng.randrange(len(mutated))]))
            hear(rng.randbytes(rng.randrange(200)))

    assert ear.notices.empty()
