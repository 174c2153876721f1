"""One question at a time serves all who ask, and what was sent meanwhile is added to its answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cortex.peer.gossip.messages import Verdict
from cortex.peer.routing.candidates import Busyness, Candidate, Wish, candidates
from cortex.peer.routing.catalogue import unite
from cortex.peer.routing.freshness import Freshness


class Asker:
    """`now_s` is turned by hand."""

    def __init__(self, fleet_values: Any) -> None:
        me, other = fleet_values.peer(0, is_self=True), fleet_values.peer(1)
        self.now_s = 100.0
        self.membership = fleet_values.membership(me, other)
        self.freshness = Freshness(self.membership, lambda: self.now_s)
        view = self.membership.view
        model = unite([], view).models[0]
        found = candidates(model, view, Wish(b"c"), Busyness("accept", 0), frozenset())
        self.other: Candidate = next(one for one in found if not one.is_self)
        self.weights = fleet_values.weights

    async def num_live(self) -> int:
        answers = await self.freshness.ask(self.weights, [self.other])
        return answers[self.other.node].num_live


@pytest.fixture
def asker(fleet_values: Any) -> Asker:
    return Asker(fleet_values)


async def test_very_many_who_ask_at_one_time_are_one_question(asker: Asker):
    assert await asyncio.gather(*(asker.num_live() for _ in range(500))) == [0] * 500
    assert asker.membership.num_probes == 1


async def test_an_answer_counts_with_what_was_sent_since_it_was_asked_for(asker: Asker):
    told: list[int] = []
    for _ in range(4):
        told.append(await asker.num_live())
        asker.now_s += 0.01
        asker.freshness.sent(asker.other.node)
    assert (told, asker.membership.num_probes) == ([0, 1, 2, 3], 1)
    asker.now_s += 0.05
    assert await asker.num_live() == 0, "it says by itself what it was sent"
    assert asker.membership.num_probes == 2


async def test_who_was_sent_as_much_as_it_had_room_for_takes_no_more_until_it_says_so(
    fleet_values: Any, asker: Asker
):
    load = fleet_values.load(asker.other.node, num_live=6, num_free=2)
    asker.membership.change(1, load=load)
    told: list[Verdict] = []
    for _ in range(3):
        answers = await asker.freshness.ask(asker.weights, [asker.other])
        told.append(answers[asker.other.node].verdict)
        asker.now_s += 0.01
        asker.freshness.sent(asker.other.node)
    assert told == ["accept", "accept", "queue"]


async def test_a_question_outlives_whoever_asked_it_first(asker: Asker):
    first = asyncio.create_task(asker.num_live())
    second = asyncio.create_task(asker.num_live())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 0
    assert asker.membership.num_probes == 1


async def test_what_was_sent_to_a_peer_that_is_gone_is_not_kept(fleet_values: Any, asker: Asker):
    me, third = fleet_values.peer(0, is_self=True), fleet_values.peer(2)
    assert await asker.num_live() == 0
    asker.now_s += 0.01
    for _ in range(3):
        asker.freshness.sent(asker.other.node)
    assert await asker.num_live() == 3
    asker.membership.show(me, third)
    asker.freshness.sent(third.node)
    assert await asker.num_live() == 0
