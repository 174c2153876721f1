"""Peers with threads and sockets of their own meet, tell each other what they have, and go."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import pytest
from msgspec.structs import replace

from cortex.peer.errors import HostLeaving
from cortex.peer.fleet import book, loop, ways
from cortex.peer.fleet.driver import Driver
from cortex.peer.fleet.membership import OwnState
from cortex.peer.fleet.thread import FleetThread
from cortex.peer.fleet.udp import FleetSockets
from cortex.peer.fleet.view import FleetView, PeerView, StoredModel
from cortex.peer.gossip import core
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.messages import Versions
from cortex.peer.gossip.records import LOAD_DRAINING, NO_LOAD, Address, LoadRecord, ModelLoad
from cortex.peer.gossip.sections import LOADING, READY, Claim, LoadedModel
from cortex.peer.gossip.timing import Timing
from cortex.peer.keys.fleet_key import new_fleet_key
from cortex.peer.keys.keyring import Keyring


class Member(Protocol):
    """What the fixture gives."""

    fleet: FleetThread
    sockets: FleetSockets

    @property
    def view(self) -> FleetView: ...

    def sees(self, other: Any) -> PeerView | None: ...

    async def close(self) -> None: ...

    async def until(self, is_so: Callable[[FleetView], bool]) -> None: ...

    async def until_sees(self, other: Any, is_so: Callable[[PeerView], bool]) -> PeerView: ...


StartMember = Callable[..., Awaitable[Member]]
DEADLINE_S = 20.0
NANO, LARGE = ModelId(b"nanonano"), ModelId(b"largelar")


def stored(number: int) -> StoredModel:
    model = ModelId(number.to_bytes(8, "big"))
    return StoredModel(model, f"org/model-{number}", 10**9 + number, 4096, ("text",), 1_700_000_000)


def busy(num_inflight: int, **more: Any) -> LoadRecord:
    return replace(NO_LOAD, num_inflight=num_inflight, **more)


def has_stored(models: tuple[StoredModel, ...]) -> Callable[[PeerView], bool]:
    return lambda peer: peer.stored == models


async def test_three_peers_meet_by_one_seed_in_two_seconds(start_member: StartMember):
    first = await start_member("first")
    began_s = monotonic()
    second = await start_member("second", first)
    third = await start_member("third", first)
    members = (first, second, third)
    for one in members:
        for other in members:
            await one.until_sees(other, lambda peer: peer.state == "up" and peer.build == "1.2.3")
    assert monotonic() - began_s < 2.0
    names = [[peer.name for peer in member.view.peers] for member in members]
    assert names == [
        ["first", "second", "third"],
        ["second", "first", "third"],
        ["third", "first", "second"],
    ]
    peer = third.sees(second)
    assert peer is not None and peer.reach is not None
    assert (peer.api, peer.num_cores, peer.devices[0].name) == ("127.0.0.1:13131", 8, "a card")
    assert (peer.reach.ip, peer.reach.port) == ("127.0.0.1", second.sockets.port)
    assert not peer.is_self and third.view.me.is_self


async def test_how_long_a_question_takes_is_known_of_those_that_have_answered(
    start_member: StartMember,
):
    first = await start_member("first")
    assert await first.fleet.round_trips() == {}
    second = await start_member("second", first)
    while not (trips := await first.fleet.round_trips()):  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.05)
    assert set(trips) == {second.view.self_node}
    assert all(0 < trip_s < 5 for trip_s in trips.values())


async def test_what_a_peer_has_and_does_is_seen_by_others(start_member: StartMember):
    first = await start_member("first")
    second = await start_member("second", first)
    ready = LoadedModel(NANO, "cortex-nano", READY, 90, 4096, 4, "float32, own kernels")
    loading = LoadedModel(LARGE, "large", LOADING, 9000, 8192, 4)
    state = OwnState(
        stored=tuple(stored(number) for number in range(3)),
        placed=(ready, loading),
        claims=(Claim(LARGE, 40),),
        load=busy(
            2,
            num_queued=1,
            models=(ModelLoad(NANO, 2, 1, 0),),
            free_mib=(1000,),
            busy_percents=(92,),
        ),
        slots=8,
    )
    first.fleet.tell(state)
    peer = await second.until_sees(
        first,
        lambda peer: peer.load is not None and len(peer.stored) == 3 and len(peer.placed) == 2,
    )
    assert peer.stored == state.stored
    warm, cold = peer.placed
    assert peer.load is not None
    assert (warm.id, warm.state, warm.computes_in) == (
        "cortex-nano",
        "ready",
        "float32, own kernels",
    )
    assert (cold.id, cold.state, cold.percent) == ("large", "loading", 40)
    assert (peer.load.num_inflight, peer.load.num_queued) == (2, 1)
    (device,) = peer.devices
    assert (device.free_bytes, device.utilisation) == (1000 * 2**20, 0.92)
    first.fleet.tell(OwnState(load=busy(0, flags=LOAD_DRAINING)))
    await second.until_sees(first, lambda peer: peer.state == "draining" and not peer.placed)


async def test_loads_are_asked_for_and_a_peer_answers_itself(start_member: StartMember):
    first = await start_member("first")
    second = await start_member("second", first)
    await first.until_sees(second, lambda peer: peer.state == "up")
    await second.until_sees(first, lambda peer: peer.state == "up")
    first.fleet.tell(OwnState(slots=2, load=busy(1)))
    second.fleet.tell(OwnState(slots=2, load=busy(2)))
    nodes = [first.view.self_node, second.view.self_node, NodeId(b"a nobody")]
    answers = await second.fleet.ask_loads(nodes, NANO, 1.0)
    verdicts = {node: answer.verdict for node, answer in answers.items()}
    assert verdicts == {nodes[0]: "accept", nodes[1]: "busy"}


async def test_a_peer_with_another_key_never_meets_the_fleet_and_both_are_told(
    start_member: StartMember, fast: Timing
):
    first = await start_member("first", timing=fast)
    foreign = Keyring(new_fleet_key(random.Random(9).randbytes))
    second = await start_member("second", first, keyring=foreign, timing=fast)
    await first.until(lambda view: any("fleet key" in notice for notice in view.notices))
    assert len(first.view.peers) == len(second.view.peers) == 1
    assert first.view.fleet != second.view.fleet


async def test_a_peer_that_says_goodbye_has_left(start_member: StartMember, fast: Timing):
    first = await start_member("first", timing=fast)
    second = await start_member("second", first, timing=fast)
    await first.until_sees(second, lambda peer: peer.state == "up")
    await second.fleet.leave()
    await second.close()
    await first.until_sees(second, lambda peer: peer.state == "left")


async def test_a_peer_that_is_gone_without_a_word_is_suspected_and_then_dead(
    start_member: StartMember, fast: Timing
):
    first = await start_member("first", timing=fast)
    second = await start_member("second", first, timing=fast)
    await first.until_sees(second, lambda peer: peer.state == "up")
    states: list[str] = []
    first.fleet.watch(lambda view: states.append(view.peers[1].state))
    await second.close()
    await first.until_sees(second, lambda peer: peer.state == "dead")
    assert [state for state in dict.fromkeys(states) if state != "up"] == ["suspect", "dead"]


async def test_a_doubted_peer_that_is_gone_is_suspected_within_a_second(start_member: StartMember):
    first = await start_member("first")
    second = await start_member("second", first)
    await first.until_sees(second, lambda peer: peer.state == "up")
    await second.close()
    began_s = monotonic()
    first.fleet.doubt(second.view.self_node)
    await first.until_sees(second, lambda peer: peer.state == "suspect")
    assert monotonic() - began_s < 1.0


async def test_a_doubted_peer_that_is_well_stays_up(start_member: StartMember, fast: Timing):
    first = await start_member("first", timing=fast)
    second = await start_member("second", first, timing=fast)
    await first.until_sees(second, lambda peer: peer.state == "up")
    states: list[str] = []
    first.fleet.watch(lambda view: states.append(view.peers[1].state))
    first.fleet.doubt(second.view.self_node)
    second.fleet.tell(OwnState(load=busy(5)))
    await first.until_sees(
        second, lambda peer: peer.load is not None and peer.load.num_inflight == 5
    )
    assert "suspect" not in states


async def test_a_peer_finds_those_again_whom_it_knew_without_any_seed(
    start_member: StartMember, fast: Timing
):
    first = await start_member("first", timing=fast)
    second = await start_member("second", first, timing=fast)
    await second.until_sees(first, lambda peer: peer.state == "up" and peer.build == "1.2.3")
    await second.close()
    again = await start_member("second", timing=fast)
    assert again.view.self_node == second.view.self_node
    assert again.view.me.gen > second.view.me.gen
    await again.until_sees(first, lambda peer: peer.state == "up")
    await first.until_sees(again, lambda peer: peer.gen == again.view.me.gen)


async def test_whoever_is_met_is_sought_in_this_run_too(
    start_member: StartMember, monkeypatch: pytest.MonkeyPatch
):
    is_sought = threading.Event()
    add_seed = core.Core.add_seed
    monkeypatch.setattr(loop, "_BOOK_EVERY_S", 0.01)
    first = await start_member("first")

    def note(of: core.Core, now_s: float, address: Address) -> None:
        add_seed(of, now_s, address)
        if of.own.address.port == first.sockets.port:  # which was given no seed
            is_sought.set()

    monkeypatch.setattr(core.Core, "add_seed", note)
    await start_member("second", first)
    assert await asyncio.to_thread(is_sought.wait, DEADLINE_S)


async def test_who_has_another_address_seeks_the_others_anew(
    start_member: StartMember, monkeypatch: pytest.MonkeyPatch
):
    has_sought = threading.Event()

    async def follow(
        _sockets: FleetSockets,
        first: tuple[Address, ...],
        on_change: Callable[[tuple[Address, ...]], None],
    ) -> None:
        on_change((*first, Address("10.9.9.9", 1)))

    def seek_anew(_core: core.Core, _now_s: float) -> None:
        has_sought.set()

    monkeypatch.setattr(loop, "follow_addresses", follow)
    monkeypatch.setattr(core.Core, "seek_anew", seek_anew)
    await start_member("first")
    assert await asyncio.to_thread(has_sought.wait, DEADLINE_S)


async def test_a_disk_that_is_busy_with_addresses_keeps_nobody_from_answering(
    start_member: StartMember, monkeypatch: pytest.MonkeyPatch
):
    is_busy, is_free = threading.Event(), threading.Event()

    def write(_path: Path, _text: str) -> None:
        is_busy.set()
        is_free.wait(DEADLINE_S)

    monkeypatch.setattr(book, "write_private", write)
    monkeypatch.setattr(loop, "_BOOK_EVERY_S", 0.01)
    first = await start_member("first")
    second = await start_member("second", first)
    try:
        assert await asyncio.to_thread(is_busy.wait, DEADLINE_S)
        await asyncio.gather(first.fleet.round_trips(), second.fleet.round_trips())
        assert not is_free.is_set()
    finally:
        is_free.set()


async def test_a_key_is_changed_while_the_fleet_runs(
    start_member: StartMember, fast: Timing, keyring: Keyring
):
    """Add everywhere, use everywhere, drop everywhere: the peers stay together all the while."""
    first = await start_member("first", timing=fast)
    second = await start_member("second", first, timing=fast)
    await first.until_sees(second, lambda peer: peer.state == "up")
    states: list[str] = []
    first.fleet.watch(lambda view: states.append(view.peers[1].state))
    new = new_fleet_key(random.Random(10).randbytes)
    both = keyring.adding(new)
    steps = (both, both.using(new.key_id), both.using(new.key_id).dropping(keyring.primary.key_id))
    for number, ring in enumerate(steps):
        for member in (first, second):
            member.fleet.rekey(ring)
        models = tuple(stored(each) for each in range(number + 1))
        second.fleet.tell(OwnState(stored=models))
        await first.until_sees(second, has_stored(models))
    assert set(states) == {"up"}
    new_id = new.key_id.hex()
    assert first.view.fleet == second.view.fleet == new_id
    seen = first.sees(second)
    assert seen is not None and (seen.key_used, seen.keys_held) == (new_id, (new_id,))
    assert not first.view.notices


async def test_who_missed_the_change_of_keys_is_told_so(
    start_member: StartMember, fast: Timing, keyring: Keyring
):
    first = await start_member("first", timing=fast)
    new = new_fleet_key(random.Random(10).randbytes)
    first.fleet.rekey(keyring.adding(new).using(new.key_id).dropping(keyring.primary.key_id))
    late = await start_member("late", first, timing=fast)
    await late.until(lambda view: any("retired key" in notice for notice in view.notices))
    await first.until(lambda view: any("retired fleet key" in notice for notice in view.notices))
    assert len(first.view.peers) == 1
    late.fleet.rekey(keyring.adding(new).using(new.key_id))
    await late.until_sees(first, lambda peer: peer.state == "up")
    assert not late.view.notices, "what was said of keys is over"


async def test_a_newer_minor_version_that_speaks_ours_is_served(start_member: StartMember):
    ours = await start_member("ours")
    newer = await start_member("newer", ours, versions=Versions(1, 9))
    newer.fleet.tell(OwnState(stored=(stored(1),)))
    peer = await ours.until_sees(newer, has_stored((stored(1),)))
    assert (peer.state, peer.versions) == ("up", (1, 9))
    await newer.until_sees(ours, lambda peer: peer.versions == (1, 1))


async def test_a_newer_major_version_is_refused_and_both_sides_show_it(
    start_member: StartMember, fast: Timing
):
    ours = await start_member("ours", timing=fast)
    newer = await start_member("newer", ours, versions=Versions(2, 3), timing=fast)
    for one, other in ((ours, newer), (newer, ours)):
        where = f"127.0.0.1 port {other.sockets.port}"
        await one.until(
            lambda view, where=where: any(
                where in notice and "update the older of the two" in notice
                for notice in view.notices
            )
        )
        assert len(one.view.peers) == 1


async def test_a_datagram_of_another_wire_is_told(start_member: StartMember):
    ours = await start_member("ours")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(bytes((0xC7, 0x21)) + bytes(60), ("127.0.0.1", ours.sockets.port))
    await ours.until(lambda view: any("another version" in notice for notice in view.notices))


async def test_two_peers_of_one_name_are_told_apart(start_member: StartMember):
    first = await start_member("beast", state="one")
    second = await start_member("beast", first, state="two")
    await first.until_sees(second, lambda peer: peer.build == "1.2.3")
    await second.until_sees(first, lambda peer: peer.build == "1.2.3")
    by_first = {peer.node: peer.name for peer in first.view.peers}
    assert by_first == {node: f"beast-{node.hex()[:4]}" for node in by_first}
    assert by_first == {peer.node: peer.name for peer in second.view.peers}


async def test_peers_of_one_machine_meet_by_mdns(start_member: StartMember):
    first = await start_member("first", has_mdns=True, mdns_interfaces=("127.0.0.1",))
    second = await start_member("second", has_mdns=True, mdns_interfaces=("127.0.0.1",))
    await first.until_sees(second, lambda peer: peer.state == "up")
    await second.until_sees(first, lambda peer: peer.state == "up")


async def test_a_thread_that_fails_leaves_its_peer_alone_and_says_so(
    start_member: StartMember, fast: Timing
):
    first = await start_member("first", timing=fast)
    second = await start_member("second", first, timing=fast)
    await first.until_sees(second, lambda peer: peer.state == "up")

    async def fail() -> None:
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()

    await first.fleet.run(fail)
    await first.until(lambda view: len(view.peers) == 1)
    assert "fallen out of the fleet" in first.view.notices[-1]
    first.fleet.tell(OwnState())
    first.fleet.doubt(second.view.self_node)
    with pytest.raises(HostLeaving):
        await first.fleet.ask_loads([second.view.self_node], NANO, 0.1)


def lost(driver: Driver, address: Address, datagram: bytes) -> None:
    """What becomes of a datagram behind a firewall."""


async def test_a_peer_whose_datagrams_are_stopped_stays_up_and_is_told_of_until_they_come_again(
    start_member: StartMember, fast: Timing, monkeypatch: pytest.MonkeyPatch
):
    first = await start_member("first", timing=fast)
    second = await start_member("second", first, timing=fast)
    await first.until_sees(second, lambda peer: peer.state == "up")
    monkeypatch.setattr(ways, "CLOSED_AFTER_S", 1.0)
    with monkeypatch.context() as firewall:
        firewall.setattr(Driver, "on_datagram", lost)
        words = "second answers connections and no datagrams"
        await first.until(lambda view: any(words in notice for notice in view.notices))
        assert [peer.state for peer in first.view.peers] == ["up", "up"]
    await first.until(lambda view: not view.notices)


async def test_models_in_words_that_are_not_known_here_are_told_and_the_others_shown(
    start_member: StartMember,
):
    first = await start_member("atlas")
    second = await start_member("borea", first)
    odd = StoredModel(LARGE, "org/odd", -1, 4096, ("text",), 0)
    second.fleet.tell(OwnState(stored=(stored(1), odd)))
    peer = await first.until_sees(second, lambda peer: bool(peer.stored))
    assert peer.stored == (stored(1),)
    await first.until(lambda view: any("borea tells of models" in one for one in view.notices))
    second.fleet.tell(OwnState(stored=(stored(1), stored(2))))
    await first.until(lambda view: not view.notices)
