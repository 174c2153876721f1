"""Who may be asked, and who of them is."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from cortex.peer.fleet.view import FleetView, PeerView
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.records import ModelLoad
from cortex.peer.placement.context_room import ContextRoom
from cortex.peer.routing.candidates import (
    Busyness,
    Candidate,
    Wish,
    by_room_and_build,
    candidates,
    gossiped,
    in_order,
    own_busyness,
    pick,
    shortlist,
    warmest,
)
from cortex.peer.routing.catalogue import unite

_IDLE = Busyness("accept", 0, 8)
_WISH = Wish(b"conversn")


@pytest.fixture
def found_in(fleet_values: Any) -> Any:
    def find(
        *peers: PeerView, wish: Wish = _WISH, doubted: frozenset[tuple[NodeId, int]] = frozenset()
    ) -> list[Candidate]:
        me = replace(fleet_values.peer(0, is_self=True), stored=(), placed=())
        view = FleetView("tag", me.node, peers=(me, *peers))
        model = unite([], view).models[0]
        return candidates(model, view, wish, _IDLE, doubted)

    return find


def names(found: list[Candidate]) -> list[str]:
    return [one.name for one in found]


@pytest.fixture
def four(found_in: Any, fleet_values: Any) -> list[Candidate]:
    """In the order of the conversation."""
    return in_order(_WISH, found_in(*(fleet_values.peer(number) for number in (1, 2, 3, 4))))


def test_a_suspect_is_asked_where_nobody_else_is_left(found_in: Any, fleet_values: Any) -> None:
    sound, suspect = fleet_values.peer(1), fleet_values.peer(2, state="suspect")
    assert names(found_in(sound, suspect)) == ["peer1"]
    assert names(found_in(suspect)) == ["peer2"]
    doubted = frozenset({(sound.node, sound.gen)})
    assert names(found_in(sound, suspect, doubted=doubted)) == ["peer1", "peer2"]


@pytest.mark.parametrize("state", ["draining", "left"])
def test_who_takes_nothing_is_not_asked(found_in: Any, fleet_values: Any, state: Any) -> None:
    assert names(found_in(fleet_values.peer(1), fleet_values.peer(2, state=state))) == ["peer1"]


def test_who_was_lost_comes_last_and_who_failed_not_at_all(
    found_in: Any, fleet_values: Any
) -> None:
    one, two = fleet_values.peer(1), fleet_values.peer(2, state="suspect")
    lost = replace(_WISH, lost=frozenset({(one.node, 1)}))
    assert names(found_in(one, two, wish=lost)) == ["peer2"]
    assert names(found_in(one, wish=lost)) == ["peer1"]
    assert names(found_in(one, wish=replace(_WISH, excluded=frozenset({(one.node, 1)})))) == []


def test_a_peer_that_began_anew_is_another_one(found_in: Any, fleet_values: Any) -> None:
    wish = replace(_WISH, excluded=frozenset({(fleet_values.node(1), 1)}))
    assert names(found_in(fleet_values.peer(1, gen=2), wish=wish)) == ["peer1"]


def test_who_goes_on_has_the_context_and_computes_alike(found_in: Any, fleet_values: Any) -> None:
    wish = replace(_WISH, context_tokens=500, computes_in="hashes")
    peers = (
        fleet_values.peer(1, context_tokens=499),
        fleet_values.peer(2, computes_in="bfloat16"),
        fleet_values.peer(3, warmth="cold", context_tokens=500),
        fleet_values.peer(4),
    )
    assert names(found_in(*peers, wish=wish)) == ["peer3", "peer4"]


def test_who_is_of_the_build_that_began_is_asked_before_the_others(
    found_in: Any, fleet_values: Any
) -> None:
    wish = replace(_WISH, build="new")
    peers = [replace(fleet_values.peer(n), build="new" if n == 2 else "old") for n in (1, 2, 3)]
    groups = by_room_and_build(wish, found_in(*peers, wish=wish))
    assert [names(list(group)) for group in groups] == [["peer2"], ["peer1", "peer2", "peer3"]]
    for alike in (replace(wish, build=""), replace(wish, build="newest")):
        assert len(by_room_and_build(alike, found_in(*peers, wish=alike))) == 1


def test_less_context_than_the_answer_may_take_is_better_than_a_lost_peer_and_too_little_is_not(
    found_in: Any, fleet_values: Any
) -> None:
    wish = replace(_WISH, context_tokens=500, least_tokens=300)
    whole, enough = fleet_values.peer(1), fleet_values.peer(2, context_tokens=300)
    little = fleet_values.peer(3, context_tokens=299)
    assert names(found_in(whole, enough, little, wish=wish)) == ["peer1"]
    suspect = replace(whole, state="suspect")
    assert names(found_in(suspect, enough, little, wish=wish)) == ["peer1"]
    lost = replace(wish, lost=frozenset({(whole.node, whole.gen)}))
    assert names(found_in(whole, enough, little, wish=lost)) == ["peer2"]
    assert names(found_in(whole, little, wish=lost)) == ["peer1"]


def test_the_warm_go_before_the_loading_and_those_before_the_cold(
    found_in: Any, fleet_values: Any
) -> None:
    warmths = ("cold", "loading", "warm")
    peers = [fleet_values.peer(n, warmth=warmth) for n, warmth in enumerate(warmths, start=1)]
    for left, best in ((3, "warm"), (2, "loading"), (1, "cold")):
        warmth, those = warmest(found_in(*peers[:left]))
        assert (warmth, names(those)) == (best, [f"peer{left}"])


def test_a_conversation_stays_where_there_is_room(four: list[Candidate]) -> None:
    answers = {one.node: Busyness("accept", 0, 8) for one in four}
    answers[four[0].node] = Busyness("accept", 7, 8)
    assert pick(four[:3], answers)[0] is four[0]


def test_a_conversation_stays_where_it_is_hardly_fuller(four: list[Candidate]) -> None:
    answers = {one.node: Busyness("queue", 8, 8) for one in four}
    answers[four[0].node] = Busyness("queue", 10, 8)
    assert pick(four[:3], answers)[0] is four[0]
    answers[four[0].node] = Busyness("queue", 11, 8)
    assert pick(four[:3], answers)[0] is four[1]


def test_a_full_peer_gives_way_to_one_that_takes_it(four: list[Candidate]) -> None:
    answers = {four[0].node: Busyness("queue", 8, 8), four[2].node: Busyness("accept", 7, 8)}
    assert pick(four[:3], answers)[0] is four[2]


def test_who_does_not_answer_in_time_is_passed_over(four: list[Candidate]) -> None:
    assert pick(four[:3], {four[1].node: Busyness("queue", 20, 8)})[0] is four[1]


def test_without_answers_it_is_the_better_of_two_by_gossip(four: list[Candidate]) -> None:
    full = replace(four[0], busyness=Busyness("queue", 20, 8))
    assert pick([full, *four[1:3]], {})[0] is four[1]
    assert pick(four[:3], {})[0] is four[0]


def test_the_first_is_asked_and_the_best_of_some_others(four: list[Candidate]) -> None:
    crowded = [replace(one, busyness=Busyness("queue", n + 8, 8)) for n, one in enumerate(four)]
    asked = shortlist(crowded, random.Random(1))
    assert asked == crowded[:3]
    assert shortlist(crowded[:1], random.Random(1)) == crowded[:1]


def test_a_peer_that_said_nothing_is_idle_until_it_does(fleet_values: Any) -> None:
    assert gossiped(None, fleet_values.weights).verdict == "accept"
    full = fleet_values.load(fleet_values.node(1), num_live=9, num_free=0)
    assert gossiped(full, fleet_values.weights) == Busyness("queue", 9, 9)


@pytest.fixture
def loaded_with(fleet_values: Any) -> Callable[[int, int], PeerView]:
    """A peer by its number that has loaded the model with so much context, of a good deal more."""

    def make(number: int, context_tokens: int) -> PeerView:
        peer: PeerView = fleet_values.peer(number)
        return replace(peer, placed=(replace(peer.placed[0], context_tokens=context_tokens),))

    return make


def test_a_model_that_is_loaded_with_too_little_for_a_prompt_is_cold_to_it(
    found_in: Any, loaded_with: Callable[[int, int], PeerView]
) -> None:
    wish = replace(_WISH, room=ContextRoom(500, 900))
    found = found_in(loaded_with(1, 499), loaded_with(2, 500), wish=wish)
    assert [one.warmth for one in found] == ["cold", "warm"]


def test_nobody_is_left_out_where_none_has_room_for_all_of_it(
    fleet_values: Any, found_in: Any, loaded_with: Callable[[int, int], PeerView]
) -> None:
    one, small = found_in(fleet_values.peer(1), loaded_with(2, 100))
    wish = replace(_WISH, room=ContextRoom(50, 200))
    assert by_room_and_build(wish, [one, small]) == [[one], [one, small]]
    assert by_room_and_build(wish, [small]) == [[small]]
    assert by_room_and_build(_WISH, [one, small]) == [[one, small]]


def test_own_load_is_that_of_the_model_that_is_asked_for(fleet_values: Any) -> None:
    other = ModelLoad(ModelId(b"another1"), 0, 0, 8)
    full = ModelLoad(fleet_values.weights, 4, 0, 0)
    record = fleet_values.load(fleet_values.node(0), num_live=4)
    record = structs.replace(record, models=(full, other))
    assert own_busyness(record, fleet_values.weights, 4, 64).verdict == "queue"
    assert own_busyness(record, other.model, 4, 64).verdict == "accept"
    assert own_busyness(record, other.model, 12, 64).verdict == "queue", "since it was told"
    assert own_busyness(record, fleet_values.weights, 0, 64).verdict == "accept"
    assert own_busyness(record, other.model, 64, 64).verdict == "busy"
    assert own_busyness(None, other.model, 4, 64).verdict == "accept"


def test_conversations_are_shared_out_by_the_models_speed_and_not_by_the_newest(
    found_in: Any, fleet_values: Any
) -> None:
    load = structs.replace(fleet_values.load(fleet_values.node(1)), decode_tokens_per_s=900)
    load = structs.replace(load, models=(structs.replace(load.models[0], speed_step=7),))
    assert [one.speed_step for one in found_in(fleet_values.peer(1, load=load))] == [7]


def test_a_long_prompt_goes_past_those_that_could_never_have_room_for_it(
    found_in: Any, fleet_values: Any
) -> None:
    wish = replace(_WISH, room=ContextRoom(500, 900))
    found = found_in(
        fleet_values.peer(1, context_tokens=600),
        fleet_values.peer(2, context_tokens=800),
        wish=wish,
    )
    groups = [names(list(group)) for group in by_room_and_build(wish, found)]
    assert groups == [["peer2"], ["peer1", "peer2"]]
