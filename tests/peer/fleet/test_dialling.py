"""Which addresses are tried, and when: few at a time, ever more seldom, until somebody is met."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.fleet.dialling import LONGEST_REST_S, MAX_HINTS, MAX_IN_FLIGHT, Dialler
from cortex.peer.gossip.ids import NodeId
from cortex.peer.gossip.records import Address

NODE = NodeId(b"somebody")
HOME = Address("192.168.1.21", 13132)


def nobody(node: NodeId) -> bool:
    return False


def numbered(number: int) -> tuple[NodeId, Address]:
    return NodeId(number.to_bytes(8, "big")), Address(f"10.{number >> 8}.{number & 255}.1", 13132)


def times_of_trying(dialler: Dialler, until_s: float) -> list[float]:
    times: list[float] = []
    next_s = dialler.next_s(0.0)
    while next_s is not None and next_s <= until_s:
        times += [next_s] * len(dialler.due(next_s))
        next_s = dialler.next_s(next_s)
    return times


def test_an_address_is_tried_ever_more_seldom() -> None:
    dialler = Dialler(nobody)
    dialler.hear(0.0, NODE, [HOME])

    assert times_of_trying(dialler, 40.0) == [0.0, 2.0, 5.0, 10.0, 19.0, 36.0]


def test_no_address_rests_longer_than_a_minute() -> None:
    dialler = Dialler(nobody)
    dialler.hear(0.0, NODE, [HOME])

    times = times_of_trying(dialler, 3600.0)

    assert max(b - a for a, b in itertools.pairwise(times)) == LONGEST_REST_S + 1


def test_saying_it_again_makes_nothing_faster() -> None:
    dialler = Dialler(nobody)
    dialler.hear(0.0, NODE, [HOME])
    dialler.due(0.0)

    dialler.hear(0.5, NODE, [HOME])

    assert dialler.due(0.5) == []


def test_all_addresses_of_a_peer_are_tried_and_none_once_it_is_met() -> None:
    met: set[NodeId] = set()
    dialler = Dialler(met.__contains__)
    elsewhere = Address("fd00::21", 13132)
    dialler.hear(0.0, NODE, [HOME, elsewhere])
    assert dialler.due(0.0) == [HOME, elsewhere]

    met.add(NODE)

    assert dialler.due(9.0) == []
    assert len(dialler) == 0
    assert dialler.next_s(9.0) is None


def test_who_is_met_is_not_dialled_at_all() -> None:
    dialler = Dialler({NODE}.__contains__)

    dialler.hear(0.0, NODE, [HOME])

    assert len(dialler) == 0


def test_who_says_goodbye_is_no_longer_tried() -> None:
    dialler = Dialler(nobody)
    dialler.hear(0.0, NODE, [HOME])

    dialler.withdraw(NODE)

    assert dialler.due(0.0) == []


def test_a_flood_is_tried_a_few_at_a_time_in_the_order_it_came() -> None:
    dialler = Dialler(nobody)
    for number in range(100):
        node, address = numbered(number)
        dialler.hear(0.0, node, [address])

    first = dialler.due(0.0)

    assert first == [numbered(number)[1] for number in range(MAX_IN_FLIGHT)]
    assert dialler.due(0.9) == []
    assert dialler.next_s(0.9) == 1.0
    assert dialler.due(1.0) == [numbered(number)[1] for number in range(16, 32)]


@given(
    st.lists(st.tuples(st.floats(0, 0.5), st.lists(st.integers(0, 3000), max_size=40)), max_size=60)
)
def test_never_are_more_than_so_many_in_flight_or_known(
    turns: list[tuple[float, list[int]]],
) -> None:
    dialler = Dialler(nobody)
    now_s, tried_at = 0.0, list[float]()
    for pause_s, numbers in turns:
        now_s += pause_s
        for number in numbers:
            node, address = numbered(number)
            dialler.hear(now_s, node, [address])
        tried_at += [now_s] * len(dialler.due(now_s))
        assert sum(1 for tried_s in tried_at if tried_s + 1.0 > now_s) <= MAX_IN_FLIGHT
        assert len(dialler) <= MAX_HINTS


def test_under_a_flood_the_oldest_hints_give_way() -> None:
    dialler = Dialler(nobody)
    for number in range(10_000):
        node, address = numbered(number)
        dialler.hear(0.0, node, [address])

    assert len(dialler) == MAX_HINTS
    assert dialler.due(0.0)[0] == numbered(10_000 - MAX_HINTS)[1]
