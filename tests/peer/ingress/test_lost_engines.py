"""Engines that end under an answer while their peers live on: it goes on wherever that is soonest,
and a request that ends engines does not end all that there are.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from msgspec import structs

from cortex.engine.messages import Loaded, Message
from cortex.engine.stream import Accepted, Resume
from cortex.peer.errors import AttemptsExhausted, CannotContinue
from cortex.peer.node import Node
from cortex.peer.observing.live import LiveRequest

# What an engine says before it is gone: enough to load the model and to begin an answer.
_LIFE = 12


async def test_an_answer_whose_engine_ends_goes_on_where_the_model_is_warm(
    open_fleet: Any, listen: Any, ask: Any
):
    request = ask(max_tokens=40)
    async with open_fleet(3) as fleet:
        undisturbed = await listen(fleet, request)
    async with open_fleet(3, others_lives=[_LIFE]) as fleet:
        # That engine ends as well, later: then the first peer, which has a new one, goes on.
        live = LiveRequest("req_1", "openai", "", asyncio.get_running_loop().time())
        assert await listen(fleet, request, live) == undisturbed
        assert live.num_failovers == fleet.local.tally.failovers.total()
        (first, begun), (second, resumed), *_ = fleet.hops.asked
        assert first != second and begun is None and resumed is not None
        assert fleet.local.tally.failovers["fake", "continuation", "engine_replaced"] >= 1
        told = fleet.local.chronicle.latest(9)
        assert {(one.what, one.model) for one in told} == {("failover", "fake")}
        assert "goes on without" in told[0].text and "(engine_replaced)" in told[0].text


async def test_the_own_engine_is_left_for_another_peers_too(open_fleet: Any, listen: Any, ask: Any):
    request = ask(max_tokens=40)
    async with open_fleet(2, is_gateway=False, lives=[_LIFE]) as fleet:
        fleet.membership.change(1, state="suspect")  # the own engine is the only sound one
        asking = fleet.ingress.chat(request, None)
        await anext(asking)
        fleet.membership.change(1, state="up")
        async for _ in asking:
            pass
        assert [resume is not None for _, resume in fleet.hops.asked] == [True]
        [other] = fleet.hops.nodes.values()
        # It was told of the loss, and had none of its own.
        assert (other.told_losses, other.tally.of("fake").num_replays) == ((1,), 0)


async def test_only_so_many_leave_an_engine_for_a_peer_as_that_has_room_for(
    open_fleet: Any, ask: Any, fleet_values: Any
):
    async with open_fleet(2, is_gateway=False, lives=[_LIFE]) as fleet:
        node = fleet_values.node(1)
        load = fleet_values.load(node, num_live=7, num_free=1, age_ds=100)
        fleet.membership.change(1, state="suspect", load=load)

        async def answer(text: str) -> None:
            async for _ in fleet.ingress.chat(ask(text, max_tokens=40)):
                fleet.membership.change(1, state="up")

        await asyncio.gather(*map(answer, "abc"))
        assert [resume is not None for _, resume in fleet.hops.asked] == [True]
        assert fleet.local.tally.failovers.total() == 1


async def test_an_engine_that_was_left_is_not_held_against_its_host(
    open_fleet: Any, listen: Any, ask: Any, fleet_values: Any
):
    async with open_fleet(3, others_lives=[_LIFE] * 9) as fleet:
        for _ in range(6):
            await listen(fleet, ask())
        assert fleet.local.tally.failovers["fake", "continuation", "engine_replaced"] >= 5
        usable = fleet.ingress._chooser.breakers.usable(
            fleet.hops.nodes, fleet_values.weights, asyncio.get_running_loop().time()
        )
        assert usable == set(fleet.hops.nodes)


async def test_the_own_engine_is_told_of_those_that_have_ended(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(2, is_gateway=False, others_lives=[_LIFE]) as fleet:
        fleet.membership.change(0, placed=())  # the other one is asked first
        asking = fleet.ingress.chat(ask(max_tokens=40), None)
        await anext(asking)
        placed = fleet.membership.view.peers[1].placed
        fleet.membership.change(0, placed=placed)
        async for _ in asking:
            pass
        assert fleet.local.told_losses == (1,)


@pytest.mark.parametrize("others", ["cold", "full"])
async def test_where_nobody_else_is_ready_its_host_goes_on_with_the_next_engine(
    open_fleet: Any, listen: Any, ask: Any, fleet_values: Any, others: str
):
    request = ask(max_tokens=40)
    async with open_fleet(2, is_gateway=False) as fleet:
        undisturbed = await listen(fleet, request)
    async with open_fleet(2, is_gateway=False, lives=[_LIFE]) as fleet:
        if others == "cold":
            fleet.membership.change(1, placed=())
        else:
            load = fleet_values.load(fleet_values.node(1), num_live=8, num_free=0)
            fleet.membership.change(1, load=load)
        assert await listen(fleet, request) == undisturbed
        assert fleet.hops.asked == []


async def test_where_those_who_were_ready_turn_out_full_it_comes_back(
    open_fleet: Any, listen: Any, ask: Any
):
    request = ask(max_tokens=40)
    async with open_fleet(3, others_lives=[_LIFE]) as fleet:
        undisturbed = await listen(fleet, request)
        first, second = fleet.hops.asked[0][0], fleet.hops.asked[1][0]
    async with open_fleet(3, others_lives=[_LIFE]) as fleet:
        fleet.hops.full = {second}
        assert await listen(fleet, request) == undisturbed
        asked = [host for host, _ in fleet.hops.asked]
        assert asked[0] == asked[-1] == first and second in asked


async def test_a_request_that_ends_engines_ends_three_and_no_more(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(6, others_lives=[_LIFE] * 4) as fleet:
        with pytest.raises(AttemptsExhausted):
            await listen(fleet, ask(max_tokens=500))
        hosts = [host for host, _ in fleet.hops.asked]
        assert len(set(hosts)) == 3
        assert [fleet.hops.nodes[host].told_losses for host in hosts] == [(0,), (1,), (2,)]
        started = [engine for engines in fleet.hops.engines.values() for engine in engines]
        assert sum(engine.life.done() for engine in started) == 3


async def test_a_last_try_elsewhere_is_made_alone(open_fleet: Any, listen: Any, ask: Any):
    """Two engines have ended under it: the third host gives it one for itself."""
    async with open_fleet(2) as fleet:
        host = fleet.hops.nodes[b"\0" * 7 + b"\1"]
        neighbour = host.serve(ask(max_tokens=1000), None)
        while not any(placed.num_granted for placed in host.placement.ready):
            await anext(neighbour)
        suspected = host.serve(ask("kills"), None, None, 2)
        for _ in range(3):
            await anext(suspected)
        (placed,) = host.placement.ready
        assert (placed.num_granted, len(host.placement.wanted)) == (1, 1)
        await neighbour.aclose()
        async for _ in suspected:
            pass


async def test_what_began_in_other_numbers_is_not_gone_on_with_by_the_next_engine(
    ask: Any, make_config: Any, memory_children: Any
):
    """One that is loaded anew elsewhere, or by another wish, is for another peer to take up."""

    children = memory_children([_LIFE])
    make_engine = children._engine

    def changing(process: Any, send: Any) -> Any:
        computes_in = f"numbers {len(children.engines)}"

        def say(message: Message) -> None:
            is_loaded = isinstance(message, Loaded)
            send(structs.replace(message, computes_in=computes_in) if is_loaded else message)

        return make_engine(process, say)

    children._engine = changing
    async with Node(make_config(), spawn=children.spawn) as node:
        answer = node.chat(ask(max_tokens=40))
        with pytest.raises(CannotContinue, match="in numbers 2 here, and the answer began in numb"):
            async for _ in answer:
                pass
        async for _ in node.chat(ask(max_tokens=40)):
            pass


async def test_nothing_is_loaded_for_an_answer_that_would_be_gone_on_with_in_other_numbers(
    ask: Any, make_config: Any, memory_children: Any
):
    children = memory_children()
    async with Node(make_config(), spawn=children.spawn) as node:
        await node.survey()
        prompt_hash = b""
        async with aclosing(node.chat(ask())) as events:
            async for event in events:
                if isinstance(event, Accepted):
                    prompt_hash = event.prompt_hash
                    break
        assert children.num_loads == 0
        resume = Resume(prompt_hash, "numbers 2, kernels", ((1, 2),))
        with pytest.raises(CannotContinue, match="in hashes here, and the answer began in numbers"):
            async for _ in node.serve(ask(), None, resume):
                pass
        assert children.num_loads == 0
        resume = Resume(prompt_hash, "hashes", ((1, 2),))
        assert [event async for event in node.serve(ask(), None, resume)]
