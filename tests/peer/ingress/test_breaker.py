"""Who fails again and again is left alone for a while, but never everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from cortex.engine.errors import CortexError, EngineFailed
from cortex.engine.stream import Piece
from cortex.peer.errors import HostLeaving, HostLost
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.routing.breaker import Breakers

_MODEL = ModelId(b"weights1")
_NODES = [NodeId(number.to_bytes(8, "big")) for number in range(3)]
_BAD = _NODES[0]


@pytest.fixture
def breakers() -> Breakers:
    return Breakers()


def fail(breakers: Breakers, times: int, now_s: float = 0.0, node: NodeId = _BAD) -> None:
    for _ in range(times):
        breakers.failed(node, _MODEL, now_s)


def test_five_failures_in_a_row_open_it(breakers: Breakers) -> None:
    fail(breakers, 4)
    assert breakers.usable(_NODES, _MODEL, 0) == set(_NODES)
    fail(breakers, 1)
    assert breakers.usable(_NODES, _MODEL, 4.9) == set(_NODES[1:])
    assert breakers.usable(_NODES, ModelId(b"weights2"), 0) == set(_NODES), "of one model alone"


def test_a_success_between_them_begins_the_count_anew(breakers: Breakers) -> None:
    fail(breakers, 4)
    breakers.succeeded(_BAD, _MODEL, 0)
    fail(breakers, 4)
    assert _BAD in breakers.usable(_NODES, _MODEL, 0)


def test_most_of_ten_in_half_a_minute_open_it(breakers: Breakers) -> None:
    for _ in range(4):
        breakers.succeeded(_BAD, _MODEL, 0)
        fail(breakers, 1)
    breakers.succeeded(_BAD, _MODEL, 0)
    fail(breakers, 2)
    assert _BAD not in breakers.usable(_NODES, _MODEL, 0)


def test_old_failures_do_not_count(breakers: Breakers) -> None:
    for _ in range(4):
        breakers.succeeded(_BAD, _MODEL, 0)
        fail(breakers, 1)
    fail(breakers, 2, now_s=31)
    assert _BAD in breakers.usable(_NODES, _MODEL, 31)


def test_half_open_lets_one_try_it(breakers: Breakers) -> None:
    fail(breakers, 5)
    assert _BAD in breakers.usable(_NODES, _MODEL, 5)
    breakers.tried(_BAD, _MODEL)
    assert _BAD not in breakers.usable(_NODES, _MODEL, 5)
    breakers.untried(_BAD, _MODEL)
    assert _BAD in breakers.usable(_NODES, _MODEL, 5)
    breakers.succeeded(_BAD, _MODEL, 5)
    breakers.tried(_BAD, _MODEL)
    assert _BAD in breakers.usable(_NODES, _MODEL, 5)


@pytest.mark.parametrize("outcome", [Breakers.failed, Breakers.succeeded])
def test_a_try_that_ends_before_its_time_is_not_the_last(
    breakers: Breakers, outcome: Callable[[Breakers, NodeId, ModelId, float], None]
) -> None:
    fail(breakers, 5)
    breakers.tried(_BAD, _MODEL)
    outcome(breakers, _BAD, _MODEL, 1)
    assert _BAD not in breakers.usable(_NODES, _MODEL, 4.9)
    assert _BAD in breakers.usable(_NODES, _MODEL, 5)


def test_each_opening_lasts_longer_up_to_a_minute(breakers: Breakers) -> None:
    fail(breakers, 5)
    now_s = 0.0
    for num_openings in range(1, 20):
        now_s += min(5 * num_openings, 60)
        assert _BAD not in breakers.usable(_NODES, _MODEL, now_s - 0.1)
        assert _BAD in breakers.usable(_NODES, _MODEL, now_s)
        fail(breakers, 1, now_s)


def test_the_last_candidate_is_never_given_up(breakers: Breakers) -> None:
    fail(breakers, 5)
    assert breakers.usable([_BAD], _MODEL, 0) == {_BAD}


def test_where_most_would_be_given_up_nobody_is(breakers: Breakers) -> None:
    fail(breakers, 5)
    fail(breakers, 5, node=_NODES[1])
    assert breakers.usable(_NODES, _MODEL, 0) == set(_NODES)
    assert breakers.usable([*_NODES, NodeId(b"12345678")], _MODEL, 0) == {
        _NODES[2],
        NodeId(b"12345678"),
    }


@pytest.mark.parametrize("num_events", [0, 3, 7])
async def test_a_host_that_failed_five_requests_is_not_asked_by_the_sixth(
    open_fleet: Any, listen: Any, ask: Any, num_events: int
):
    """Nor one that begins each of them, or answers for a while, and then breaks."""
    async with open_fleet(3) as fleet:
        await listen(fleet, ask())
        first = fleet.hops.asked[0][0]
        fleet.hops.error = lambda: EngineFailed("over it")
        for _ in range(5):
            fleet.hops.asked.clear()
            fleet.hops.deaths = [num_events]
            assert (await listen(fleet, ask())).ends
            assert fleet.hops.asked[0][0] == first, "a conversation stays with its peer"
        fleet.hops.asked.clear()
        assert (await listen(fleet, ask())).ends
        [(host, _)] = fleet.hops.asked
        assert host != first


async def test_while_one_long_answer_tries_a_host_others_are_sent_there(
    open_fleet: Any, listen: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("cortex.peer.routing.breaker._REST_S", 0)
    async with open_fleet(3) as fleet:
        await listen(fleet, ask())
        first = fleet.hops.asked[0][0]
        fleet.hops.deaths, fleet.hops.error = [0, None] * 5, lambda: EngineFailed("over it")
        for _ in range(5):
            await listen(fleet, ask())
        fleet.hops.asked.clear()
        async with aclosing(fleet.ingress.chat(ask(max_tokens=1000))) as long:
            async for event in long:
                if isinstance(event, Piece):
                    break
            assert (await listen(fleet, ask())).ends
            assert [host for host, _ in fleet.hops.asked] == [first, first]


@pytest.mark.parametrize(("error", "is_asked"), [(HostLeaving, True), (HostLost, False)])
async def test_a_peer_that_left_in_order_amid_answers_is_asked_as_soon_as_it_is_back(
    open_fleet: Any, listen: Any, ask: Any, error: type[CortexError], is_asked: bool
):
    async with open_fleet(3) as fleet:
        await listen(fleet, ask())
        first = fleet.hops.asked[0][0]
        fleet.hops.asked.clear()
        fleet.hops.deaths, fleet.hops.error = [7] * 5, lambda: error("gone")
        answers = await asyncio.gather(*(listen(fleet, ask()) for _ in range(5)))
        assert all(told.ends for told in answers)
        assert [host for host, _ in fleet.hops.asked[:5]] == [first] * 5
        fleet.hops.asked.clear()
        fleet.membership.change(int.from_bytes(first, "big"), gen=2)
        assert (await listen(fleet, ask())).ends
        [(host, _)] = fleet.hops.asked
        assert (host == first) is is_asked
