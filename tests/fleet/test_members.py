"""Claims, facts, rumours and loads: each table by itself."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.gossip.facts import MAX_ROW_BYTES, Facts, FactsTooLarge
from cortex.peer.gossip.health import Health
from cortex.peer.gossip.ids import BootId, NodeId
from cortex.peer.gossip.loads import LoadTable
from cortex.peer.gossip.members import Members, Standing, State, expired
from cortex.peer.gossip.probing import ProbeOrder
from cortex.peer.gossip.records import (
    MAX_SECTIONS,
    Address,
    Dead,
    Fact,
    Left,
    LoadRecord,
    Section,
    Suspect,
)
from cortex.peer.gossip.rumours import RumourQueue
from cortex.peer.gossip.sessions import Sessions
from cortex.peer.gossip.suspicion import Suspicion, timeout_s

A, B, C = (NodeId(bytes([letter]) * 8) for letter in b"abc")
ANYWHERE = Address("10.0.0.1", 1)
STANDINGS = st.builds(Standing, st.integers(1, 3), st.integers(0, 3), st.sampled_from(tuple(State)))


def load(node: NodeId, lv: int, *, inflight: int = 0, age_ds: int = 0) -> LoadRecord:
    return LoadRecord(node, lv, age_ds, 0, inflight, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("weaker", "stronger"),
    [
        (Standing(1, 0, State.ALIVE), Standing(1, 0, State.SUSPECT)),
        (Standing(1, 0, State.SUSPECT), Standing(1, 0, State.DEAD)),
        (Standing(1, 0, State.DEAD), Standing(1, 0, State.LEFT)),
        (Standing(1, 0, State.LEFT), Standing(1, 1, State.ALIVE)),
        (Standing(1, 9, State.LEFT), Standing(2, 0, State.ALIVE)),
    ],
)
def test_the_stronger_claim_wins_and_the_weaker_changes_nothing(
    weaker: Standing, stronger: Standing
) -> None:
    members = Members()
    member = members.add(A, weaker, 0.0)
    assert members.raise_to(member, stronger, 1.0)
    assert not members.raise_to(member, weaker, 2.0)
    assert not members.raise_to(member, stronger, 2.0)
    assert member.standing == stronger


@given(st.lists(STANDINGS, min_size=1), st.randoms(use_true_random=False))
def test_claims_in_any_order_and_more_than_once_end_in_the_same_belief(
    claims: list[Standing], shuffler: random.Random
) -> None:
    ends: set[Standing] = set()
    for _ in range(3):
        members = Members()
        member = members.add(A, Standing(0, 0, State.ALIVE), 0.0)
        for claim in shuffler.sample(claims * 2, len(claims) * 2):
            members.raise_to(member, claim, 0.0)
        ends.add(member.standing)
        assert members.num_reachable == member.standing.is_reachable
    assert ends == {max([*claims, Standing(0, 0, State.ALIVE)])}


def test_a_new_generation_forgets_what_the_old_one_published() -> None:
    members = Members()
    member = members.add(A, Standing(1, 0, State.ALIVE), 0.0)
    member.facts.merge(Section(1, 1, b"old"))
    members.raise_to(member, Standing(1, 5, State.ALIVE), 1.0)
    assert member.facts.content(1) == b"old"
    members.raise_to(member, Standing(2, 0, State.ALIVE), 2.0)
    assert member.facts.content(1) is None


def test_tombstones_go_when_they_are_old_or_too_many() -> None:
    members = Members()
    members.add(A, Standing(1, 0, State.LEFT), 0.0)
    members.add(B, Standing(1, 0, State.DEAD), 1.0)
    members.add(C, Standing(1, 0, State.DEAD), 2.0)

    def gone(now_s: float, most: int) -> list[NodeId]:
        return expired(members, now_s, dead_kept_s=100, left_kept_s=10, max_tombstones=most)

    assert gone(5.0, 9) == []
    assert gone(11.0, 9) == [A]
    assert gone(5.0, 1) == [A, B]
    assert sorted(gone(103.0, 9)) == [A, B, C]


WRITES = st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=20)), max_size=20)


@given(WRITES, st.randoms(use_true_random=False))
def test_facts_in_any_order_and_more_than_once_end_the_same(
    writes: list[tuple[int, bytes]], shuffler: random.Random
) -> None:
    owner, reader = Facts(), Facts()
    written = [owner.write(section, content) for section, content in writes]
    for section in shuffler.sample(written * 2, len(written) * 2):
        reader.merge(section)
    assert reader.since(0) == owner.since(0)
    assert reader.complete <= owner.complete


@given(WRITES, st.data())
def test_a_reader_that_asks_for_what_is_newer_misses_nothing(
    writes: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    owner, reader = Facts(), Facts()
    for section, content in writes:
        written = owner.write(section, content)
        if data.draw(st.booleans()):
            reader.merge(written)
    reader.merge_row(owner.since(reader.complete), owner.complete)
    assert reader == owner


def test_a_row_takes_no_more_than_it_may() -> None:
    facts = Facts()
    for section in range(MAX_SECTIONS):
        facts.write(section, b"x")
    with pytest.raises(FactsTooLarge, match="section 99 of 1 bytes"):
        facts.write(99, b"x")
    assert not facts.merge(Section(99, 1000, b"x"))
    assert not facts.merge(Section(1, 1000, bytes(MAX_ROW_BYTES)))
    assert facts.content(1) == b"x"


def test_a_newer_rumour_takes_the_place_of_the_older_on_the_same_subject() -> None:
    queue = RumourQueue(max_bytes=300)
    queue.tell(Suspect(A, 1, 0, B))
    queue.tell(Dead(A, 1, 0, B))
    queue.tell(Fact(A, 1, 3, 7, b"x"))
    assert queue.take(1000, 9) == (Dead(A, 1, 0, B), Fact(A, 1, 3, 7, b"x"))


def test_what_was_told_least_goes_first_and_what_is_worn_out_not_at_all() -> None:
    queue = RumourQueue(max_bytes=300)
    queue.tell(Left(A, 1, 0))
    assert queue.take(1000, 2) == (Left(A, 1, 0),)
    queue.tell(Left(B, 1, 0))
    assert queue.take(1000, 2) == (Left(B, 1, 0), Left(A, 1, 0))
    assert queue.take(1000, 2) == (Left(B, 1, 0),)
    assert queue.take(1000, 2) == ()
    assert len(queue) == 0


def test_a_rumour_too_large_for_the_room_lets_a_smaller_one_pass() -> None:
    queue = RumourQueue(max_bytes=300)
    queue.tell(Left(A, 1, 0))
    queue.tell(Fact(B, 1, 3, 7, bytes(200)))
    assert queue.take(100, 9) == (Left(A, 1, 0),)


def test_what_no_datagram_could_carry_is_not_told() -> None:
    queue = RumourQueue(max_bytes=300)
    queue.tell(Fact(A, 1, 3, 7, b"x"))
    queue.tell(Fact(A, 1, 3, 8, bytes(301)))
    assert len(queue) == 0, "and the older one is not told any more"


def test_a_load_gets_older_where_it_is_held() -> None:
    table = LoadTable()
    assert table.learn(load(A, 5, age_ds=7), 100.0)
    held = table.of(A, 101.0)
    assert held is not None and held.age_ds == 17


def test_a_load_of_a_lower_count_is_no_news() -> None:
    table = LoadTable()
    assert table.learn(load(A, 5), 0.0)
    assert not table.learn(load(A, 5, inflight=9), 0.0)
    assert not table.learn(load(A, 4, inflight=9), 0.0)
    assert table.learn(load(A, 6, inflight=9), 0.0)


def test_the_youngest_loads_are_told_first_and_unchanged_ones_less_often() -> None:
    table = LoadTable()
    table.learn(load(A, 1, age_ds=50), 0.0)
    table.learn(load(B, 1, age_ds=10), 0.0)
    assert [record.node for record in table.take_youngest(1, 3, 0.0)] == [B]
    assert [record.node for record in table.take_youngest(9, 3, 0.0)] == [B, A]
    assert [record.node for record in table.take_youngest(9, 3, 0.0)] == [A]
    assert not table.has_changes
    table.learn(load(A, 2), 0.0)
    assert not table.has_changes
    assert [record.node for record in table.take_youngest(9, 2, 0.0)] == [A]
    assert table.take_youngest(9, 2, 0.0) == ()


def test_a_suspicion_is_shorter_the_more_accusers_it_has() -> None:
    suspicion = Suspicion(A, 100.0, (4.0, 24.0), 2)
    ends_s = [suspicion.expires_s]
    assert not suspicion.confirm(A)
    for accuser in (B, C):
        assert suspicion.confirm(accuser)
        ends_s.append(suspicion.expires_s)
    assert not suspicion.confirm(NodeId(b"d" * 8))
    assert ends_s[0] == 124.0 and ends_s[0] > ends_s[1] > ends_s[2] == 104.0


@given(st.integers(0, 9), st.integers(0, 9))
def test_a_suspicion_never_leaves_its_range(confirmed: int, expected: int) -> None:
    assert 4.0 <= timeout_s(confirmed, expected, 4.0, 24.0) <= 24.0


def test_health_stays_between_well_and_worst() -> None:
    health = Health(worst=2)
    health.credit()
    assert health.stretch(1.0) == 1.0
    for _ in range(5):
        health.blame()
    assert health.stretch(1.0) == 3.0


def test_everybody_is_asked_once_a_round() -> None:
    members, order = Members(), ProbeOrder(random.Random(1))
    nodes = [NodeId(bytes([index]) * 8) for index in range(7)]
    for node in nodes:
        members.add(node, Standing(1, 0, State.ALIVE), 0.0)
        order.insert(node)
        order.insert(node)
    for node in nodes:
        member = members.get(node)
        assert member is not None
        member.heard_from = ANYWHERE
    asked = [order.next(members) for _ in range(14)]
    for half in (asked[:7], asked[7:]):
        assert {member.node for member in half if member is not None} == set(nodes)


def test_whoever_is_gone_is_not_asked() -> None:
    members, order = Members(), ProbeOrder(random.Random(1))
    for node, state in ((A, State.DEAD), (B, State.LEFT)):
        members.add(node, Standing(1, 0, state), 0.0).heard_from = ANYWHERE
        order.insert(node)
    assert order.next(members) is None


def test_a_boot_is_fresh_for_one_node_only_and_tables_are_bounded() -> None:
    sessions = Sessions(max_sessions=2, max_strangers=2)
    first = BootId(b"1" * 8)
    sessions.establish(first, A)
    assert sessions.is_fresh(first, A)
    assert not sessions.is_fresh(first, B)
    for index in range(9):
        sessions.establish(BootId(bytes([index]) * 8), A)
        sessions.stranger(BootId(bytes([index]) * 8), B)
    assert len(sessions) == 2 and sessions.num_strangers == 2
    assert not sessions.is_fresh(first, A)
