"""From belief to view: what is shown of whom, and that what did not change is the same object."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cortex.peer.errors import HostLost, HostRefused, HostSilent
from cortex.peer.fleet.catalogues import Catalogues
from cortex.peer.fleet.errands import Errands
from cortex.peer.fleet.notices import Notices
from cortex.peer.fleet.telling import About, ident
from cortex.peer.fleet.view import FleetView, PeerView, StoredModel
from cortex.peer.fleet.viewing import Viewer
from cortex.peer.fleet.ways import CLOSED_AFTER_S, Ways
from cortex.peer.fleet.wire import digest_of, packed_catalogue
from cortex.peer.gossip.core import Core
from cortex.peer.gossip.events import TcpPing
from cortex.peer.gossip.identity import Identity
from cortex.peer.gossip.ids import BootId, ModelId, NodeId
from cortex.peer.gossip.messages import Versions
from cortex.peer.gossip.records import (
    LOAD_DRAINING,
    Address,
    LoadRecord,
    Row,
    Section,
    State,
)
from cortex.peer.gossip.sections import (
    LOADING,
    READY,
    Catalog,
    Claim,
    Claims,
    Content,
    Device,
    Hardware,
    Ident,
    LoadedModel,
    Models,
    Policy,
    pack_content,
)

US, YOU, HIM = (NodeId(bytes([letter]) * 8) for letter in b"uyh")
HOME, YOURS = Address("10.0.0.1", 1), Address("10.0.0.2", 2)
WARM, COLD = ModelId(b"warmwarm"), ModelId(b"coldcold")
STORED = (StoredModel(COLD, "org/cold", 5000, 4096, ("text",), 1),)


def named(name: str, *addresses: Address) -> Ident:
    about = About("1.0", "linux", "10.0.0.2:13131", ("gateway",), versions=Versions(1, 2))
    return ident(name, addresses or [YOURS], about)


@dataclass
class Stage:
    core: Core
    viewer: Viewer
    now_s: float = 100.0
    num_writes: int = 0
    stored: tuple[StoredModel, ...] | None = STORED

    def hear(
        self, node: NodeId, *contents: Content, state: int = State.ALIVE, inc: int = 0
    ) -> None:
        """A row of that peer comes by a synchronisation."""
        sections: list[Section] = []
        for content in contents:
            self.num_writes += 1
            sections.append(Section(content.SECTION, self.num_writes, pack_content(content)))
        row = Row(node, 1, inc, state, self.num_writes, tuple(sections), YOURS)
        self.core.on_rows(self.now_s, YOU, [row])

    def look(self) -> FleetView:
        return self.viewer.view(self.now_s, self.core, lambda _: self.stored, ())

    def peer(self, node: NodeId) -> PeerView:
        peer = self.look().peer(node)
        assert peer is not None
        return peer


@pytest.fixture
def stage() -> Stage:
    core = Core(Identity(US, BootId(US), 1), HOME, 100.0, random.Random(1))
    core.publish(100.0, Ident.SECTION, pack_content(named("ours")))
    return Stage(core, Viewer("tag", US))


def test_a_peer_alone_sees_itself(stage: Stage):
    view = stage.look()
    assert (view.fleet, view.self_node, view.me.name, view.me.is_self) == ("tag", US, "ours", True)
    assert (view.me.state, view.me.reach, view.me.api) == ("up", HOME, "10.0.0.2:13131")


def test_a_view_in_which_nothing_changed_is_the_same_one(stage: Stage):
    stage.hear(YOU, named("yours"))
    before = stage.look()
    stage.now_s += 0.5
    assert stage.look() is before
    stage.hear(HIM, named("his"))
    after = stage.look()
    assert after.version == before.version + 1
    assert after.peer(YOU) is before.peer(YOU)


def test_what_a_peer_tells_is_shown(stage: Stage):
    hardware = Hardware((Device("a card\x1b[31m", 1000),), 8, 2000)
    stage.hear(YOU, named("yours"), hardware, Policy(False, ("gateway",)))
    peer = stage.peer(YOU)
    assert (peer.name, peer.build, peer.versions, peer.roles) == (
        "yours",
        "1.0",
        (1, 2),
        ("gateway",),
    )
    assert (peer.devices[0].name, peer.devices[0].memory_bytes) == ("a card?[31m", 1000)
    assert (peer.num_cores, peer.memory_bytes, peer.reach) == (8, 2000, YOURS)


def test_a_list_of_models_stands_until_the_next_one_has_come(stage: Stage):
    stage.hear(YOU, named("yours"), Catalog(1, b"first"))
    assert stage.peer(YOU).stored == STORED
    stage.stored = None
    stage.hear(YOU, named("yours"), Catalog(1, b"second"))
    assert stage.peer(YOU).stored == STORED
    stage.stored = ()
    assert stage.peer(YOU).stored == ()


def test_of_a_peer_with_many_addresses_the_one_it_speaks_from_comes_first(stage: Stage):
    wires = tuple(Address(f"10.1.{number}.2", 2) for number in range(5))
    stage.hear(YOU, named("yours", *wires))
    assert stage.peer(YOU).addresses == (YOURS, *wires[:3])
    member = stage.core.members.get(YOU)
    assert member is not None
    stage.core.members.note_heard(member, wires[2], 101.0)
    assert stage.peer(YOU).addresses == (wires[2], YOURS, *wires[:2])
    stage.core.members.note_heard(member, Address("192.0.2.1", 999), 102.0)  # what a NAT made of it
    assert stage.peer(YOU).addresses == (YOURS, *wires[:3])


async def test_who_is_silent_at_one_address_is_asked_at_the_others(stage: Stage):
    wires = tuple(Address(f"10.1.{number}.2", 2) for number in range(2))
    stage.hear(YOU, named("yours", YOURS, *wires))
    stage.core.poll()
    asked: list[NodeId] = []

    async def ping(node: NodeId) -> None:
        asked.append(node)

    def act(deed: Callable[[Core, float], Any]) -> Any:
        return deed(stage.core, stage.now_s)

    driver: Any = SimpleNamespace(act=act)
    client: Any = SimpleNamespace(ping=ping)
    async with asyncio.TaskGroup() as tasks:
        ways = Ways(stage.core.members, Notices(), stage.viewer.name_of)
        Errands(driver, client, Catalogues(), ways, tasks).ping(TcpPing(YOU, YOURS, 7))
    assert asked == [YOU]
    assert {send.address for send in stage.core.poll()[0]} == set(wires)


async def test_our_own_list_of_models_outlasts_those_that_nobody_names(stage: Stage):
    catalogues, nobody = Catalogues(), cast(Any, SimpleNamespace())
    bodies = [packed_catalogue([replace(STORED[0], created_s=number)]) for number in range(9)]
    for body in bodies:
        catalogues.keep(digest_of(body), body, ())
    own = Catalog(1, digest_of(bodies[0]))
    stage.core.publish(stage.now_s, Catalog.SECTION, pack_content(own))
    async with asyncio.TaskGroup() as tasks:
        ways = Ways(stage.core.members, Notices(), stage.viewer.name_of)
        errands = Errands(nobody, nobody, catalogues, ways, tasks)
        errands.fetch_catalogues(stage.now_s, stage.core)
    known = [catalogues.of(digest_of(body)) is not None for body in bodies]
    assert known == [True, *[False] * 4, *[True] * 4]


def test_what_a_peer_stores_is_one_tuple_until_its_disk_changes(stage: Stage):
    catalogues = Catalogues()
    body, next_body = (
        packed_catalogue([replace(STORED[0], created_s=number)]) for number in (1, 2)
    )
    catalogues.keep(digest_of(body), body, ())
    catalogues.keep(digest_of(next_body), next_body, ())

    def look() -> PeerView:
        view = stage.viewer.view(stage.now_s, stage.core, catalogues.of, ())
        peer = view.peer(YOU)
        assert peer is not None
        return peer

    stage.hear(YOU, named("yours"), Catalog(1, digest_of(body)))
    before = look()
    stage.hear(YOU, named("yours by another name"))
    renamed = look()
    stage.hear(YOU, Catalog(2, digest_of(next_body)))

    assert renamed is not before and before.stored
    assert renamed.stored is before.stored
    assert look().stored != before.stored


def test_a_peer_is_not_looked_for_at_our_own_address(stage: Stage):
    own, bridge = stage.core.own.address, Address("10.1.0.2", 2)
    stage.hear(YOU, named("yours", YOURS, own, bridge))
    assert stage.peer(YOU).addresses == (YOURS, bridge)


@pytest.mark.parametrize(
    ("rtt_s", "error", "is_blamed"),
    [
        (None, HostSilent, True),
        (0.5, HostRefused, True),
        (2.0, HostSilent, False),
        (0.5, HostLost, False),  # it says something else than it was asked for
    ],
)
async def test_a_peer_too_far_away_or_that_answers_is_not_said_to_be_behind_a_firewall(
    stage: Stage, rtt_s: float | None, error: type[HostLost], is_blamed: bool
):
    stage.hear(YOU, named("yours", YOURS))
    member = stage.core.members.get(YOU)
    assert member is not None
    member.rtt_s = rtt_s
    notices = Notices()

    async def ping(_: NodeId) -> None:
        raise error("no answer")

    def act(deed: Callable[[Core, float], Any]) -> Any:
        return deed(stage.core, stage.now_s)

    driver: Any = SimpleNamespace(act=act)
    client: Any = SimpleNamespace(ping=ping)
    ways = Ways(stage.core.members, notices, stage.viewer.name_of)
    for _ in range(2):
        async with asyncio.TaskGroup() as tasks:
            Errands(driver, client, Catalogues(), ways, tasks).ping(TcpPing(YOU, YOURS, 7))
        stage.now_s += CLOSED_AFTER_S
        member.heard_s = stage.now_s
    assert bool(notices.at(stage.now_s)) is is_blamed


def test_models_are_shown_with_how_far_their_load_is(stage: Stage):
    models = Models(
        (
            LoadedModel(WARM, "org/warm", READY, 3, 4096, 1, "float32"),
            LoadedModel(HIM_MODEL, "org/next", LOADING, 2, 4096, 1),
        )
    )
    claims = Claims((Claim(HIM_MODEL, 40), Claim(COLD, 250), Claim(WARM, 9)))
    stage.hear(YOU, models, claims, Catalog(1, b"digest"))
    shown = {
        each.id: (each.state, each.percent, each.size_bytes) for each in stage.peer(YOU).placed
    }
    assert shown == {
        "org/warm": ("ready", None, 3 * 2**20),
        "org/next": ("loading", 40, 2 * 2**20),
        "org/cold": ("loading", 100, 5000),
    }
    assert stage.peer(YOU).stored == STORED


HIM_MODEL = ModelId(b"nextnext")


def test_draining_is_seen_by_the_load_as_soon_as_by_the_row(stage: Stage):
    stage.hear(YOU, Policy(True))
    assert stage.peer(YOU).state == "draining"
    stage.core.set_load(stage.now_s, LoadRecord(US, 0, 0, LOAD_DRAINING, 0, 0, 0, 0, 0))
    assert stage.look().me.state == "draining"


def test_a_section_that_is_garbage_is_as_good_as_absent(stage: Stage):
    stage.hear(YOU, named("yours"))
    garbage = Row(YOU, 1, 0, 0, 2, (Section(Hardware.SECTION, 2, b"\xc1"),), YOURS)
    stage.core.on_rows(stage.now_s, YOU, [garbage])
    assert (stage.peer(YOU).name, stage.peer(YOU).devices) == ("yours", ())


def test_peers_of_one_name_are_told_apart_and_those_that_are_gone_make_way(stage: Stage):
    stage.hear(YOU, named("ours"))
    assert {peer.name for peer in stage.look().peers} == {"ours-7575", "ours-7979"}
    stage.hear(HIM, named("his"))
    stage.hear(HIM, state=State.LEFT)
    stage.hear(YOU, named("his"))
    assert [peer.name for peer in stage.look().peers] == ["ours", "his", "his-6868"]


def test_who_has_left_is_shown_for_ten_minutes_and_who_is_dead_for_as_long_as_it_is_known(
    stage: Stage,
):
    stage.hear(YOU, state=State.LEFT)
    stage.hear(HIM, state=State.DEAD)
    assert {peer.node: peer.state for peer in stage.look().peers[1:]} == {YOU: "left", HIM: "dead"}
    stage.now_s += 590.0
    assert {peer.node for peer in stage.look().peers[1:]} == {YOU, HIM}
    stage.now_s += 20.0
    assert {peer.node: peer.state for peer in stage.look().peers[1:]} == {HIM: "dead"}


def test_a_dead_peer_is_no_longer_missed_where_another_one_goes_by_its_name(stage: Stage):
    stage.hear(HIM, named("beast"), state=State.DEAD)
    stage.hear(YOU, named("beast"))
    assert [peer.name for peer in stage.look().peers[1:]] == ["beast", "beast-6868"]
    stage.now_s += 610.0
    assert [peer.name for peer in stage.look().peers[1:]] == ["beast"]


def test_of_dead_peers_of_one_name_the_last_is_missed(stage: Stage):
    stage.hear(HIM, named("beast"), state=State.DEAD)
    stage.now_s += 700.0
    stage.hear(YOU, named("beast"), state=State.DEAD)
    assert [peer.node for peer in stage.look().peers[1:]] == [YOU]
    stage.now_s += 700.0
    assert [(peer.node, peer.name) for peer in stage.look().peers[1:]] == [(YOU, "beast")]


def test_a_name_that_is_none_is_the_nodes_number(stage: Stage):
    stage.hear(YOU, named("\x00\x1b"), state=State.ALIVE)
    stage.hear(HIM)
    assert stage.peer(HIM).name == HIM.hex()[:8]
    assert stage.peer(YOU).name == "??"


def test_silence_is_put_right_only_when_the_view_says_too_much_of_it(stage: Stage):
    stage.hear(YOU)
    member = stage.core.members.get(YOU)
    assert member is not None
    before = stage.peer(YOU)
    stage.now_s += 10.0
    assert stage.peer(YOU) is before  # whoever reads it adds the time since it was made
    member.heard_s = stage.now_s
    after = stage.peer(YOU)
    assert (after.silent_s, after.made_s) == (0.0, stage.now_s)
