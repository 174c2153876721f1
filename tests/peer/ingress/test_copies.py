"""When a further copy of a model is loaded, who is not named for it, and how room for long requests
is found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import pytest

from cortex.engine.errors import Overloaded
from cortex.peer.errors import NoPeer
from cortex.peer.fleet.view import PeerView
from cortex.peer.gossip.ids import NodeId
from cortex.peer.gossip.messages import LoadAnswer
from cortex.peer.routing import asked
from cortex.peer.routing.candidates import Busyness


def answer(node: NodeId, load: Any, verdict: Any, wait_ms: int = 0) -> LoadAnswer:
    return LoadAnswer(node=node, gen=1, seq=1, load=load, verdict=verdict, wait_ms=wait_ms)


@pytest.fixture
def fill(fleet_values: Any) -> Callable[..., None]:
    """Peer 1 has the model and is full by its record, and says what it says when it is asked; the
    second one is idle and does not have it.
    """

    def fill_it(fleet: Any, verdict: str, wait_ms: int = 0, load_s: float | None = None) -> None:
        node = fleet_values.node(1)
        full = fleet_values.load(node, num_live=8, num_free=0)
        fleet.membership.change(1, load=full)
        fleet.membership.change(2, placed=())
        fleet.membership.answers[node] = answer(node, full, verdict, wait_ms)
        fleet.places.seconds = load_s

    return fill_it


async def test_no_copy_is_loaded_on_a_stale_word(
    open_fleet: Any, listen: Any, ask: Any, fill: Any, fleet_values: Any
):
    async with open_fleet(3) as fleet:
        fill(fleet, "accept")
        await listen(fleet, ask())
        assert fleet.places.asked == []
        assert [host for host, _ in fleet.hops.asked] == [fleet_values.node(1)]


# A peer of which no answer has ended yet says no wait.
@pytest.mark.parametrize(("wait_ms", "number"), [(5000, 1), (60_000, 2), (0, 2)])
async def test_a_copy_is_loaded_where_that_is_sooner_than_a_place_and_else_the_place_is_waited_for(
    open_fleet: Any, listen: Any, ask: Any, fill: Any, fleet_values: Any, wait_ms: int, number: int
):
    async with open_fleet(3) as fleet:
        fill(fleet, "queue", wait_ms, load_s=20.0)
        await listen(fleet, ask())
        assert [host for host, _ in fleet.hops.asked] == [fleet_values.node(number)]


async def test_a_copy_is_loaded_where_all_who_have_it_refuse(
    open_fleet: Any, listen: Any, ask: Any, fill: Any, fleet_values: Any
):
    async with open_fleet(3) as fleet:
        fill(fleet, "busy", 1000, load_s=20.0)
        await listen(fleet, ask())
        assert fleet.hops.asked[0][0] == fleet_values.node(2)
        assert fleet.places.passed_over == [(fleet_values.node(1),)]


@pytest.mark.parametrize(("wait_ms", "loads"), [(5000, False), (60_000, True)])
async def test_a_copy_is_loaded_beside_this_peers_own_where_that_is_sooner_than_a_place_here(
    open_fleet: Any,
    listen: Any,
    ask: Any,
    fleet_values: Any,
    monkeypatch: pytest.MonkeyPatch,
    wait_ms: int,
    loads: bool,
):
    def own_busyness(_: object) -> Busyness:
        return Busyness("queue", 8, 8)

    async with open_fleet(2, is_gateway=False) as fleet:
        node = fleet_values.node(0)
        full = fleet_values.load(node, num_live=8, num_free=0)
        fleet.membership.change(0, load=full)
        fleet.membership.change(1, placed=())
        fleet.membership.answers[node] = answer(node, full, "queue", wait_ms)
        fleet.places.seconds = 20.0
        monkeypatch.setattr(fleet.ingress._chooser, "_own_busyness", own_busyness)
        await listen(fleet, ask())
        assert bool(fleet.hops.asked) == loads


async def test_who_is_silent_is_not_preferred_to_who_answers(
    open_fleet: Any, listen: Any, ask: Any, fill: Any, fleet_values: Any
):
    async with open_fleet(4) as fleet:
        fill(fleet, "queue", 5000, load_s=20.0)
        silent = fleet_values.node(3)
        fleet.membership.change(3, load=fleet_values.load(silent, num_live=1, num_free=0))
        fleet.membership.mute.add(silent)
        for text in "abcdef":
            await listen(fleet, ask(text))
        assert {host for host, _ in fleet.hops.asked} == {fleet_values.node(1)}


async def test_a_peer_that_is_to_load_the_model_and_refuses_is_not_named_again_at_once(
    open_fleet: Any, listen: Any, ask: Any, fleet_values: Any, monkeypatch: pytest.MonkeyPatch
):
    async with open_fleet(3) as fleet:
        leaseholder, other = fleet_values.node(1), fleet_values.node(2)

        async def place(*_: object, holders: Collection[NodeId], lost: object) -> NodeId:
            return other if leaseholder in holders else leaseholder

        monkeypatch.setattr(fleet.places, "place", place)
        for number in (1, 2):
            fleet.membership.change(number, placed=())
        fleet.hops.full = {leaseholder}
        await listen(fleet, ask())
        assert [host for host, _ in fleet.hops.asked] == [leaseholder, other]


async def test_a_peer_with_the_model_that_is_left_alone_is_not_named_either(
    open_fleet: Any, listen: Any, ask: Any, fleet_values: Any, loop_time: Any
):
    """Else it would be sent the request again and again, for whoever decides sees it warm."""
    async with open_fleet(3) as fleet:
        fleet.membership.change(2, placed=())
        breakers = fleet.ingress._chooser.breakers
        for _ in range(5):
            breakers.failed(fleet_values.node(1), fleet_values.weights, loop_time())
        await listen(fleet, ask())
        assert fleet.places.passed_over == [(fleet_values.node(1),)]


async def test_who_goes_on_refusing_is_not_asked_for_ever(
    open_fleet: Any, listen: Any, ask: Any, loop_time: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(asked, "_PATIENCE_S", 0.5)
    monkeypatch.setattr(asked, "_RESTS_S", {"busy": 0.05})
    async with open_fleet(2) as fleet:
        fleet.hops.full = set(fleet.hops.nodes)
        began_s = loop_time()
        with pytest.raises(Overloaded, match="busy: peer1"):
            await listen(fleet, ask())
        assert loop_time() - began_s < 3 and len(fleet.hops.asked) > 1


async def test_a_long_prompt_goes_where_the_model_has_room_for_it(
    open_fleet: Any, listen: Any, ask: Any, fleet_values: Any
):
    async with open_fleet(3) as fleet:
        for number, num_tokens in ((1, 64), (2, 4096)):
            [placed] = fleet_values.peer(number).placed
            fleet.membership.change(number, placed=(replace(placed, context_tokens=num_tokens),))
        for text in "abcdef":
            await listen(fleet, ask(text, max_tokens=100))
        assert {host for host, _ in fleet.hops.asked} == {fleet_values.node(2)}


async def test_a_model_that_is_too_small_everywhere_is_loaded_again_where_nobody_uses_it(
    open_fleet: Any, listen: Any, ask: Any, fleet_values: Any
):
    async with open_fleet(3) as fleet:
        for number, num_live in ((1, 3), (2, 0)):
            peer: PeerView = fleet_values.peer(number)
            load = fleet_values.load(peer.node, num_live=num_live)
            placed = (replace(peer.placed[0], context_tokens=16),)
            fleet.membership.change(number, placed=placed, load=load)
        await listen(fleet, ask("a" * 200))
        assert fleet.places.asked == [(fleet_values.node(2),)]
        assert fleet.places.passed_over == [(fleet_values.node(1),)]


async def test_a_model_that_is_there_with_all_that_it_has_is_never_too_small(
    open_fleet: Any, listen: Any, ask: Any, fleet_values: Any
):
    async with open_fleet(3) as fleet:
        [stored] = fleet_values.peer(1).stored
        [placed] = fleet_values.peer(1).placed
        small = (replace(stored, context_tokens=16),), (replace(placed, context_tokens=16),)
        fleet.membership.change(1, stored=small[0], placed=small[1])
        fleet.membership.change(2, placed=())
        await listen(fleet, ask("a" * 200))
        assert fleet.places.asked == []


async def test_a_prompt_that_may_well_have_room_does_not_make_a_model_cold(
    open_fleet: Any, listen: Any, ask: Any, fleet_values: Any
):
    """Of 2,000 bytes come 400 tokens often, and hardly ever fewer."""
    async with open_fleet(3) as fleet:
        [placed] = fleet_values.peer(1).placed
        fleet.membership.change(1, placed=(replace(placed, context_tokens=400),))
        fleet.membership.change(2, placed=())
        await listen(fleet, ask("a" * 2000))
        assert fleet.places.asked == []


async def test_who_reaches_nobody_that_decides_chooses_as_all_do(
    open_fleet: Any, listen: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
):
    async def nobody(*_: object, **__: object) -> NodeId:
        raise NoPeer("nobody answers")

    async with open_fleet(5) as fleet:
        monkeypatch.setattr(fleet.places, "place", nobody)
        for number in (1, 2, 3, 4):
            fleet.membership.change(number, placed=())
        for text in "abcdef":
            await listen(fleet, ask(text))
        assert len({host for host, _ in fleet.hops.asked}) == 1
