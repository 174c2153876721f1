"""Peers that come and go while an answer is made: who is there when one is needed is asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from cortex.engine.errors import EngineFailed, InvalidRequest
from cortex.engine.stream import Accepted, Finished, Resume
from cortex.peer.errors import HostLost, HostRefused, RequestCancelled, RequestTooLarge
from cortex.peer.gossip.ids import NodeId
from cortex.peer.observing.live import LiveRequest


async def test_who_has_come_since_it_was_asked_goes_on_with_an_answer(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(3) as fleet:
        undisturbed = await listen(fleet, ask())
        first = int.from_bytes(fleet.hops.asked[0][0], "big")
        second = 3 - first
        fleet.membership.change(second, state="dead")

        def turn(node: NodeId) -> None:
            fleet.membership.change(first, state="dead")
            fleet.membership.change(second, state="up", gen=2)

        fleet.hops.deaths, fleet.hops.on_death = [7], turn
        fleet.hops.asked.clear()
        assert await listen(fleet, ask()) == undisturbed
        assert [int.from_bytes(node, "big") for node, _ in fleet.hops.asked] == [first, second]


async def test_who_comes_while_nobody_is_left_is_asked_too(open_fleet: Any, listen: Any, ask: Any):
    """The only peer is lost for good, and another one appears a moment later."""
    async with open_fleet(3) as fleet:
        undisturbed = await listen(fleet, ask())
        first = int.from_bytes(fleet.hops.asked[0][0], "big")
        fleet.membership.change(3 - first, state="dead")

        def refuse(node: NodeId) -> None:
            fleet.hops.refusing.add(node)
            fleet.hops.was_asked.clear()

        fleet.hops.deaths, fleet.hops.on_death = [7], refuse
        usage = None
        async for event in fleet.ingress.chat(ask()):
            usage = event.usage if isinstance(event, Finished) else None
            if fleet.hops.refusing and fleet.hops.was_asked.is_set():
                fleet.membership.change(3 - first, state="up")
        assert usage == undisturbed.ends[0][2]


async def test_the_only_peer_may_be_lost_as_often_as_it_brings_an_answer_on(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(2) as fleet:
        undisturbed = await listen(fleet, ask())
        fleet.hops.asked.clear()
        fleet.hops.deaths = [7, 7]
        assert await listen(fleet, ask()) == undisturbed
        assert len(fleet.hops.asked) == 3
        # It was the same peer that went on: without whom?
        assert fleet.local.tally.failovers == {} and not fleet.local.chronicle.latest(9)


async def test_a_lost_peer_that_refuses_connections_is_tried_while_there_is_hope(
    open_fleet: Any, listen: Any, ask: Any, fleet_values: Any
):
    """One that starts again takes a while until it listens: that is no failure each time."""
    async with open_fleet(3) as fleet:
        undisturbed = await listen(fleet, ask())
        first = fleet.hops.asked[0][0]
        other = 3 - int.from_bytes(first, "big")
        fleet.membership.change(other, state="dead")
        fleet.hops.asked.clear()
        errors = [HostLost("gone")] * 2 + [HostRefused("not yet")] * 4
        fleet.hops.deaths, fleet.hops.error = [7, 7, 0, 0, 0, 0], lambda: errors.pop(0)
        lives = [LiveRequest("req", "openai", "", asyncio.get_running_loop().time()) for _ in "ab"]
        answering = asyncio.gather(*(listen(fleet, ask(), live) for live in lives))
        while errors:  # noqa: ASYNC110 - nobody else would tell
            await asyncio.sleep(0.01)
        fleet.membership.change(other, state="up")
        assert first in fleet.ingress._chooser.breakers.usable(
            fleet.hops.nodes, fleet_values.weights, asyncio.get_running_loop().time()
        )
        assert await answering == [undisturbed] * 2
        assert [live.num_failovers for live in lives] == [1, 1]
        assert fleet.local.tally.failovers.total() == 2
        assert len(fleet.local.chronicle.latest(9)) == 2


async def test_what_one_peer_refuses_that_another_has_taken_is_asked_of_a_third(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(4) as fleet:
        undisturbed = await listen(fleet, ask())
        for num_events in (2, 7):
            errors = [HostLost("gone"), InvalidRequest("more pixels than are taken here")]
            fleet.hops.asked.clear()
            fleet.hops.deaths, fleet.hops.error = [num_events, 0], lambda: errors.pop(0)  # noqa: B023
            assert await listen(fleet, ask()) == undisturbed
            assert len({node for node, _ in fleet.hops.asked}) == 3


async def test_what_is_wrong_with_a_request_and_whoever_ends_it_is_told_at_once(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(4) as fleet:
        for deaths, error in (
            ([0], InvalidRequest("no such field")),
            ([3], InvalidRequest("no engine takes that grammar")),
            ([9], RequestCancelled("by whoever runs the peer")),
        ):
            fleet.hops.asked.clear()
            fleet.hops.deaths, fleet.hops.error = deaths, lambda: error  # noqa: B023
            with pytest.raises(type(error)):
                await listen(fleet, ask())
            assert len(fleet.hops.asked) == 1


async def test_what_is_too_large_for_one_hop_goes_over_another(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(3) as fleet:
        fleet.hops.deaths, fleet.hops.error = [0], lambda: RequestTooLarge("over 64 MiB")
        assert (await listen(fleet, ask())).num_accepted == 1
        assert fleet.local.tally.failovers == {}


def die_beside(fleet: Any, first: int, *, other_tokens: int) -> None:
    """Of the two that are told of in the view, the first dies amid its next answer."""
    for number, context_tokens in ((first, 1400), (3 - first, other_tokens)):
        (stored,) = fleet.membership.view.peers[number].stored
        stored = replace(stored, context_tokens=context_tokens)
        fleet.membership.change(number, stored=(stored,))

    def end(node: NodeId) -> None:
        fleet.membership.change(first, state="dead")

    fleet.hops.deaths, fleet.hops.on_death = [9], end


async def test_an_answer_goes_on_with_less_context_and_ends_where_that_is_full(
    open_fleet: Any, listen: Any, ask: Any
):
    request = structs.replace(ask(), max_tokens=None, ignore_eos=True)
    async with open_fleet(3, context_limit_tokens=1400) as fleet:
        await listen(fleet, ask())
        first = int.from_bytes(fleet.hops.asked[0][0], "big")
        small = fleet.hops.nodes[NodeId((3 - first).to_bytes(8, "big"))]
        await small.reconfigure(replace(small.config, context_limit_tokens=1200))
        die_beside(fleet, first, other_tokens=1200)
        told = await listen(fleet, request)
        reason, _, usage = told.ends[0]
        assert reason == "context"
        assert usage.prompt_tokens + usage.completion_tokens == 1200


async def test_without_room_for_more_of_it_an_answer_is_not_gone_on_with(
    open_fleet: Any, listen: Any, ask: Any
):
    request = structs.replace(ask(), max_tokens=None, ignore_eos=True)
    async with open_fleet(3, context_limit_tokens=1400) as fleet:
        await listen(fleet, ask())
        first = int.from_bytes(fleet.hops.asked[0][0], "big")
        die_beside(fleet, first, other_tokens=100)
        with pytest.raises(EngineFailed, match="broke off"):
            await listen(fleet, request)


async def test_a_host_needs_room_for_what_is_missing_of_an_answer_alone(open_fleet: Any, ask: Any):
    async with open_fleet(2, max_live_requests=1) as fleet:
        host = fleet.hops.nodes[NodeId(bytes(7) + b"\1")]
        events = [event async for event in host.serve(ask(), None)]
        accepted = next(event for event in events if isinstance(event, Accepted))
        resume = Resume(accepted.prompt_hash, "", (None, None, ()))
        rest = [event async for event in host.serve(ask(num_choices=3), None, resume)]
        assert [event.choice for event in rest if isinstance(event, Finished)] == [2]
