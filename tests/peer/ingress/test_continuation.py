"""A host that dies at every possible moment, and clients that never notice."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from cortex.engine.errors import EngineFailed
from cortex.engine.fake import FakeConfig
from cortex.engine.stream import TextDelta
from cortex.engine.types import RawText, SamplingWish, Tool
from cortex.peer.config import PeerConfig
from cortex.peer.errors import CannotContinue, HostLeaving, HostLost, HostSilent
from cortex.peer.gossip.ids import NodeId
from cortex.peer.node import Node
from cortex.peer.observing.live import LiveRequest

_REPLY = (
    "<think>\nWhat is the weather?\n</think>\n\nI look it up."
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Köln", "days": 3}}\n</tool_call>'
)
_MOST_EVENTS = 120
# A real engine starts, on a machine where others want its cores.
_DEADLINE_S = 240


async def test_a_stream_goes_on_from_another_peer_whenever_its_host_dies(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(3) as fleet:
        undisturbed = await listen(fleet, ask())
        num_deaths = 0
        for num_events in range(_MOST_EVENTS):
            fleet.hops.deaths = [num_events]
            fleet.hops.asked.clear()
            assert await listen(fleet, ask()) == undisturbed, num_events
            if fleet.hops.deaths == [] and len(fleet.hops.asked) == 1:
                break  # it outlived its answer
            num_deaths += 1
        assert num_deaths > 12


@pytest.mark.parametrize(
    "fields",
    [
        {"num_choices": 3},
        {"top_logprobs": 2},
        {"stop": ("e", "zz")},
        {"raw": RawText("say: "), "echo": True, "top_logprobs": 1},
        {"max_tokens": 2},
    ],
    ids=str,
)
async def test_nothing_of_any_answer_is_lost_doubled_or_torn(
    open_fleet: Any, listen: Any, ask: Any, fields: dict[str, Any]
):
    async with open_fleet(5) as fleet:
        undisturbed = await listen(fleet, ask(**fields))
        for num_events in range(1, _MOST_EVENTS):
            fleet.hops.deaths = [num_events, 1 + num_events % 7]
            fleet.hops.asked.clear()
            assert await listen(fleet, ask(**fields)) == undisturbed, num_events
            if len(fleet.hops.asked) == 1:
                break


async def test_every_host_is_asked_for_the_same_draws_by_the_same_clock(
    open_fleet: Any, listen: Any, ask: Any
):
    request = ask(seed=7, now_s=1_700_000_000, sampling=SamplingWish(temperature=0.9, top_p=0.8))
    async with open_fleet(4) as fleet:
        fleet.hops.deaths = [0, 7, 9]
        await listen(fleet, request)
        assert fleet.hops.requests == [request] * 4


async def test_a_sampled_answer_of_a_real_model_goes_on_with_its_own_draws(
    make_config: Callable[..., PeerConfig],
    open_fleet: Any,
    listen: Any,
    ask: Any,
    fleet_values: Any,
):
    """Two hosts with one engine between them: the fake one draws nothing by a seed."""
    real = Node(make_config(engine="torch", cpu_threads=1))
    async with open_fleet(3) as fleet, asyncio.timeout(_DEADLINE_S), real:
        await real.preload("cortex-nano")
        for number in (1, 2):
            peer = fleet_values.peer(number, model_id="cortex-nano", computes_in="")
            fleet.membership.change(number, stored=peer.stored, placed=peer.placed)
            fleet.hops.nodes[peer.node] = real
        # Of what it has learned it is sure at any temperature: of this it is not.
        sampled = ask(
            model="cortex-nano", messages=(), raw=RawText("qzj"), sampling=SamplingWish(2.0)
        )
        undisturbed = await listen(fleet, sampled)
        assert (await listen(fleet, replace(sampled, seed=2))).pieces != undisturbed.pieces
        fleet.hops.asked.clear()
        fleet.hops.deaths = [7]
        assert await listen(fleet, sampled) == undisturbed
        [_, (_, resume)] = fleet.hops.asked
        assert resume is not None and any(resume.token_ids), "it was in the middle"


async def test_calls_and_reasoning_go_on_in_the_middle(open_fleet: Any, listen: Any, ask: Any):
    request = ask(tools=(Tool("weather"),), max_tokens=None)
    async with open_fleet(4, fake=FakeConfig((_REPLY,))) as fleet:
        undisturbed = await listen(fleet, request)
        assert undisturbed.ends[0][0] == "stop"
        for num_events in range(1, 200, 11):
            fleet.hops.deaths = [num_events, 9]
            fleet.hops.asked.clear()
            assert await listen(fleet, request) == undisturbed, num_events
            if len(fleet.hops.asked) == 1:
                break


@pytest.mark.parametrize("max_tokens", [4, None])
async def test_words_held_back_until_the_end_are_said_once(
    open_fleet: Any, listen: Any, ask: Any, max_tokens: int | None
):
    """The last letter may begin a stop string, and is told with the end."""
    request = ask(stop=("zz",), max_tokens=max_tokens)
    async with open_fleet(3, fake=FakeConfig(("abcz",))) as fleet:
        undisturbed = await listen(fleet, request)
        assert undisturbed.pieces[0].deltas == (TextDelta("abcz"),)
        for num_events in range(1, 16):
            fleet.hops.deaths = [num_events]
            assert await listen(fleet, request) == undisturbed, num_events


async def test_an_answer_survives_more_hosts_than_may_fail_before_it_begins(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(3) as fleet:
        undisturbed = await listen(fleet, ask())
        fleet.hops.deaths = [6] * 8

        def start_again(node: NodeId) -> None:
            gen = fleet.membership.view.peer(node).gen
            fleet.membership.change(int.from_bytes(node, "big"), gen=gen + 1)

        fleet.hops.on_death = start_again
        assert await listen(fleet, ask()) == undisturbed
        assert len(fleet.hops.asked) > 4


async def test_the_own_engine_is_gone_on_with_elsewhere(open_fleet: Any, listen: Any, ask: Any):
    # The engine says so much, and then it and each that comes after it is gone.
    async with open_fleet(2, is_gateway=False, lives=[8, 0, 0, 0], max_replays=0) as fleet:
        fleet.membership.change(1, state="suspect")  # the own engine is the only sound one
        told = await listen(fleet, ask())
        assert [host for host, _ in fleet.hops.asked] == [b"\0" * 7 + b"\1"]
        assert fleet.hops.asked[0][1] is not None
        fleet.membership.change(1, state="up")
        fleet.membership.change(0, state="draining")
        assert await listen(fleet, ask()) == told


async def test_a_host_that_leaves_is_counted_as_the_cause(open_fleet: Any, listen: Any, ask: Any):
    async with open_fleet(3) as fleet:
        await listen(fleet, ask())  # so that no stages of a load come before the text
        fleet.hops.deaths, fleet.hops.error = [7], lambda: HostLeaving("it ends")
        await listen(fleet, ask())
        fleet.hops.deaths = [1]
        await listen(fleet, ask())
        assert fleet.local.tally.failovers == {
            ("fake", "continuation", "host_leaving"): 1,
            ("fake", "retry", "host_leaving"): 1,
        }


async def test_a_peer_that_computes_differently_is_passed_over(
    open_fleet: Any, listen: Any, ask: Any, fleet_values: Any
):
    async with open_fleet(4) as fleet:
        undisturbed = await listen(fleet, ask())
        first = fleet.hops.asked[0][0]
        others = [number for number in (1, 2, 3) if fleet_values.node(number) != first]
        changed = fleet_values.peer(others[0], computes_in="bfloat16")
        fleet.membership.change(others[0], placed=changed.placed)
        fleet.hops.asked.clear()
        fleet.hops.deaths = [7]
        assert await listen(fleet, ask()) == undisturbed
        assert fleet.hops.asked[1][0] == fleet_values.node(others[1])


@pytest.mark.parametrize("is_first_of_two", [True, False])
async def test_an_answer_goes_on_at_a_peer_of_the_release_that_began_it(
    open_fleet: Any, listen: Any, ask: Any, fleet_values: Any, is_first_of_two: bool
):
    async with open_fleet(4) as fleet:
        undisturbed = await listen(fleet, ask())
        first = fleet.hops.asked[0][0]
        others = [number for number in (1, 2, 3) if fleet_values.node(number) != first]
        alike, other = others if is_first_of_two else reversed(others)
        for number in range(4):
            fleet.membership.change(number, build="0.2.0" if number == other else "0.1.0")
        fleet.hops.asked.clear()
        fleet.hops.deaths = [7]
        assert await listen(fleet, ask()) == undisturbed
        assert fleet.hops.asked[1][0] == fleet_values.node(alike)


async def test_a_refusal_to_go_on_leads_to_the_next_peer(open_fleet: Any, listen: Any, ask: Any):
    async with open_fleet(4) as fleet:
        undisturbed = await listen(fleet, ask())
        errors = [HostLost("gone"), CannotContinue("another prompt is made here")]
        fleet.hops.asked.clear()
        fleet.hops.deaths, fleet.hops.error = [7, 0], lambda: errors.pop(0)
        assert await listen(fleet, ask()) == undisturbed
        assert len({host for host, _ in fleet.hops.asked}) == 3


async def test_a_peer_that_accepts_and_then_cannot_go_on_has_taken_nothing_up(
    open_fleet: Any, listen: Any, ask: Any
):
    live = LiveRequest("req_1", "openai", "", 0.0)
    async with open_fleet(3) as fleet:
        await listen(fleet, ask())  # so that no stages of a load come before the text
        errors = [HostLost("gone"), CannotContinue("another prompt is made here")]
        # The second host says that it works on it, and only then that it cannot.
        fleet.hops.deaths, fleet.hops.error = [7, 1], lambda: errors.pop(0)
        fleet.hops.on_death = fleet.hops.refusing.add
        with pytest.raises(EngineFailed):
            await listen(fleet, ask(), live)
        assert errors == [] and live.num_failovers == 0
        assert fleet.local.tally.failovers == {} and not fleet.local.chronicle.latest(9)


async def test_one_that_goes_on_at_the_third_host_is_one_failover_from_the_one_that_was_lost(
    open_fleet: Any, listen: Any, ask: Any
):
    live = LiveRequest("req_1", "openai", "", 0.0)
    async with open_fleet(4) as fleet:
        await listen(fleet, ask())
        fleet.hops.asked.clear()
        errors = [HostLost("gone"), CannotContinue("another prompt is made here")]
        fleet.hops.deaths, fleet.hops.error = [7, 1], lambda: errors.pop(0)
        await listen(fleet, ask(), live)
        first = fleet.membership.view.peer(fleet.hops.asked[0][0])
        assert (len(fleet.hops.asked), live.num_failovers) == (3, 1)
        assert fleet.local.tally.failovers == {("fake", "continuation", "host_lost"): 1}
        [told] = fleet.local.chronicle.latest(9)
        assert f"goes on without {first.name} (host_lost)" in told.text


async def test_without_another_holder_the_answer_ends_with_an_error_in_time(
    open_fleet: Any, listen: Any, ask: Any, loop_time: Any
):
    async with open_fleet(2) as fleet:
        died_s = 0.0

        def die(node: NodeId) -> None:
            nonlocal died_s
            died_s = loop_time()
            fleet.hops.refusing.add(node)

        fleet.hops.deaths, fleet.hops.on_death = [12], die
        with pytest.raises(EngineFailed, match="broke off on peer1"):
            await listen(fleet, ask())
        assert loop_time() - died_s < 3
        # Nobody has gone on with it.
        assert fleet.local.tally.failovers == {} and not fleet.local.chronicle.latest(9)


async def test_a_silent_host_without_another_holder_is_not_waited_for_again(
    open_fleet: Any, listen: Any, ask: Any, loop_time: Any
):
    """Silence has taken almost all the time that there is to say so."""
    async with open_fleet(2) as fleet:
        died_s = 0.0

        def die(node: NodeId) -> None:
            nonlocal died_s
            died_s = loop_time()

        fleet.hops.deaths, fleet.hops.on_death = [12], die
        fleet.hops.error = lambda: HostSilent("it said nothing for 2.5 s")
        with pytest.raises(EngineFailed, match="broke off on peer1"):
            await listen(fleet, ask())
        assert loop_time() - died_s < 0.5


async def test_the_length_is_what_the_first_host_would_have_let_it_be(
    open_fleet: Any, listen: Any, ask: Any
):
    request = replace(ask(), max_tokens=None, ignore_eos=True)
    async with open_fleet(3, context_limit_tokens=60) as fleet:
        undisturbed = await listen(fleet, request)
        assert undisturbed.ends[0][0] == "context"
        fleet.hops.deaths = [9]
        assert await listen(fleet, request) == undisturbed


async def test_an_answer_without_a_limit_goes_on_where_there_is_less_context_than_it_began_with(
    open_fleet: Any, listen: Any, ask: Any, fleet_values: Any
):
    request = replace(ask(), max_tokens=None)
    async with open_fleet(3) as fleet:
        undisturbed = await listen(fleet, request)
        for number in (1, 2):
            [stored] = fleet_values.peer(number).stored
            # Of 32,768 that their nodes have.
            told = (dataclasses.replace(stored, context_tokens=20_000),)
            fleet.membership.change(number, stored=told)
        fleet.hops.deaths = [7]
        fleet.hops.asked.clear()
        assert await listen(fleet, request) == undisturbed
        assert len(fleet.hops.asked) == 2


async def test_an_answer_goes_on_at_a_warm_peer_with_enough_before_a_cold_one_with_all(
    open_fleet: Any, listen: Any, ask: Any, fleet_values: Any
):
    request = replace(ask(), max_tokens=None)
    async with open_fleet(4) as fleet:
        undisturbed = await listen(fleet, request)
        first = fleet.hops.asked[0][0][-1]
        warm, cold = (number for number in (1, 2, 3) if number != first)
        [stored] = fleet_values.peer(warm).stored
        told = (dataclasses.replace(stored, context_tokens=20_000),)
        fleet.membership.change(warm, stored=told)
        fleet.membership.change(cold, placed=())
        fleet.hops.deaths = [7]
        fleet.hops.asked.clear()
        assert await listen(fleet, request) == undisturbed
        assert [host[-1] for host, _ in fleet.hops.asked] == [first, warm]
