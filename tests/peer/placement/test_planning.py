"""Which place of the fleet a model gets, why not another one, and what a person is told of it."""

from __future__ import annotations

import dataclasses
import itertools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.costs import MemoryPart, ModelCosts
from cortex.engine.errors import EngineFailed, InsufficientVram, MemoryShortage, ModelInvalid
from cortex.peer import errors
from cortex.peer.api.errors import About, tell
from cortex.peer.fleet.view import DeviceView, FleetView, PeerView, PlacedModel, StoredModel
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.records import LoadRecord, ModelLoad
from cortex.peer.placement.ages import least_age_s, told_age
from cortex.peer.placement.books import Rules, Size
from cortex.peer.placement.plan import LoadWish, Plan, Planned, Refusal
from cortex.peer.placement.planning import Known, plan_load, ranked, soonest_s
from cortex.peer.placement.rendering import render_planned
from cortex.peer.placement.wording import nowhere

GIB = 1 << 30
MODEL = ModelId(b"wanted--")
OTHER = ModelId(b"other---")
COSTS = ModelCosts(4 * GIB, 0, GIB // 4096, 8192)
STORED = StoredModel(MODEL, "qwen", 4 * GIB, 8192, ("text",), 0, COSTS)
ALONE = NodeId(b"alone---")


def sizes(
    costs: ModelCosts, wish: LoadWish, context_tokens: int, budget_bytes: int
) -> tuple[Size, ...]:
    wished = [wish.context_tokens] if wish.context_tokens else [context_tokens, 4096]
    return tuple(
        Size(tokens, 1, costs.weights_bytes + tokens * costs.kv_bytes_per_token)
        for tokens in wished
    )


def parts(costs: ModelCosts, size: Size) -> tuple[MemoryPart, ...]:
    kv_bytes = size.context_tokens * costs.kv_bytes_per_token
    return (
        MemoryPart("weights", costs.weights_bytes),
        MemoryPart("keys and values", kv_bytes, f"1 slot of {size.context_tokens:,} tokens"),
    )


KNOWN = Known(sizes, parts, lambda node, model, size_bytes: 20.0)


def make_peer(name: str, *placed: PlacedModel, gib: float = 16, **changes: Any) -> PeerView:
    """A peer with one device that has the model on disk, and is idle."""
    reserved_bytes = sum(one.reserved_bytes for one in placed)
    device = DeviceView("cuda:0", int(gib * GIB), int(gib * GIB) - reserved_bytes)
    fields: dict[str, Any] = {
        "node": NodeId(name.encode().ljust(8, b"-")[:8]),
        "gen": 1,
        "name": name,
        "state": "up",
        "is_self": False,
        "devices": (device,),
        "stored": (STORED,),
        "placed": placed,
    }
    return PeerView(**(fields | changes))


def other(num_gib: float, model: ModelId = OTHER, **changes: Any) -> PlacedModel:
    fields: dict[str, Any] = {
        "model": model,
        "id": "gemma",
        "state": "ready",
        "size_bytes": int(num_gib * GIB),
        "context_tokens": 4096,
        "reserved_bytes": int(num_gib * GIB),
        "num_slots": 4,
    }
    return PlacedModel(**(fields | changes))


def load_of(*models: ModelLoad, num_inflight: int = 0, first_token_ms: int = 0) -> LoadRecord:
    return LoadRecord(ALONE, 1, 0, 0, num_inflight, 0, 0, first_token_ms, 0, (), models)


def fleet(*peers: PeerView) -> FleetView:
    return FleetView("f", ALONE, 1, peers)


def plan(*peers: PeerView, known: Known = KNOWN, **wished: Any) -> Planned:
    return plan_load(fleet(*peers), LoadWish(MODEL, **wished), known)


def named(planned: Planned) -> str | None:
    return None if planned.plan is None else planned.plan.peer.decode().rstrip("-")


def reasons(planned: Planned) -> list[tuple[str, str]]:
    return [(one.reason, one.words) for one in planned.refusals]


def test_emptier_peer_is_chosen_and_the_other_would_do_as_well() -> None:
    planned = plan(make_peer("full", other(12)), make_peer("empty"))
    assert named(planned) == "empty"
    assert [one.peer for one in planned.others] == [b"full----"]
    assert planned.plan is not None
    assert planned.plan.size == Size(8192, 1, 6 * GIB)
    assert planned.plan.seconds == 20.0
    assert sum(part.num_bytes for part in planned.plan.parts) == 6 * GIB


def test_when_the_first_of_some_has_it_counts_what_its_victims_are_wanted_for() -> None:
    used = load_of(ModelLoad(OTHER, 0, 0, 4, told_age(60.0), told_age(7200.0)))
    view = fleet(make_peer("full", other(12), load=used), make_peer("empty"))
    full, empty = (peer.node for peer in view.peers)
    assert soonest_s(view, MODEL, [full, empty], KNOWN) == 20.0
    with_victim_s = soonest_s(view, MODEL, [full], KNOWN)
    assert with_victim_s is not None and 30.0 < with_victim_s < 40.0
    unknown = Known(sizes, parts)
    assert soonest_s(view, MODEL, [full, empty], unknown) is None


def test_a_peer_where_it_has_room_goes_before_a_quicker_one_where_it_would_be_tiny() -> None:
    used = load_of(ModelLoad(OTHER, 0, 0, 4, told_age(60.0), told_age(7200.0)))
    tiny = make_peer("tiny", other(11), load=used)
    busy = make_peer("busy", load=load_of(num_inflight=4, first_token_ms=4000))
    found = plan(tiny, busy)
    assert named(found) == "busy"
    assert [one.is_tight for one in found.others] == [True]


def test_room_is_not_worth_a_load_that_takes_minutes_longer() -> None:
    used = load_of(ModelLoad(OTHER, 0, 0, 4, told_age(60.0), told_age(7200.0)))
    tiny, slow = make_peer("tiny", other(11), load=used), make_peer("slow")
    seconds = {tiny.node: 5.0, slow.node: 600.0}
    known = Known(sizes, parts, lambda node, model, size_bytes: seconds[node])
    found = plan(tiny, slow, known=known)
    assert found.plan is not None and (named(found), found.plan.is_tight) == ("tiny", True)


def test_a_peer_that_loads_it_quickly_goes_before_a_slow_one() -> None:
    slow, quick = make_peer("slow"), make_peer("quick")
    seconds = {slow.node: 90.0, quick.node: 9.0}

    def eta_s(node: NodeId, model: ModelId, size_bytes: int) -> float:
        return seconds[node]

    found = plan(slow, quick, known=Known(sizes, parts, eta_s))
    assert named(found) == "quick" and [one.seconds for one in found.others] == [90.0]


def test_victim_on_a_full_peer_is_named_and_counted() -> None:
    found = plan(make_peer("full", other(12)), known=KNOWN).plan
    assert found is not None
    assert [victim.id for victim in found.victims] == ["gemma"]
    assert (found.free_bytes, found.free_after_bytes) == (4 * GIB, 10 * GIB)
    assert found.seconds is not None and 20.0 < found.seconds <= 40.0


def test_long_idle_victim_is_cheaper_than_one_that_was_just_used() -> None:
    def used(idle_s: float) -> LoadRecord:
        return load_of(ModelLoad(OTHER, 0, 0, 4, told_age(idle_s), told_age(7200.0)))

    used_now = make_peer("a", other(12), load=used(60.0))
    used_long_ago = make_peer("b", other(12), load=used(3600.0))
    assert named(plan(used_now, used_long_ago)) == "b"


def test_peer_that_works_is_chosen_after_an_idle_one() -> None:
    busy = make_peer("busy", load=load_of(num_inflight=3, first_token_ms=500))
    planned = plan(busy, make_peer("idle", gib=7))
    assert named(planned) == "idle"
    assert planned.others[0].seconds == 21.5


def test_model_that_is_there_needs_no_load() -> None:
    planned = plan(make_peer("empty"), make_peer("has", other(6, MODEL)))
    assert named(planned) == "has"
    assert planned.plan is not None
    assert (planned.plan.is_there, planned.plan.seconds) == (True, 0.0)


def test_load_under_way_is_waited_for() -> None:
    loading = other(6, MODEL, state="loading", percent=75)
    planned = plan(make_peer("empty"), make_peer("has", loading))
    assert planned.plan is not None
    assert (named(planned), planned.plan.is_there, planned.plan.seconds) == ("has", True, 5.0)


def test_model_that_is_there_with_less_than_is_wished_for_is_loaded_elsewhere() -> None:
    planned = plan(make_peer("has", other(6, MODEL)), make_peer("empty"), context_tokens=8192)
    assert named(planned) == "empty"
    words = "it is there with 4,096 tokens of context and 4 slots: unload it first"
    assert reasons(planned) == [("busy", words)]


def test_model_with_all_slots_that_an_engine_gives_has_what_is_wished_for() -> None:
    planned = plan(make_peer("has", other(6, MODEL, num_slots=128)), num_slots=200)
    assert named(planned) == "has"


def test_model_that_is_being_unloaded_is_not_there() -> None:
    planned = plan(make_peer("has", other(12, MODEL, state="unloading")))
    assert [reason for reason, _ in reasons(planned)] == ["busy"]


@pytest.mark.parametrize(
    ("peer", "reason", "words"),
    [
        (
            make_peer("p", other(14, is_pinned=True)),
            "pinned",
            "3.0 GiB short: 'gemma' is pinned",
        ),
        (
            make_peer("p", other(14), load=load_of(ModelLoad(OTHER, 2, 1, 0))),
            "busy",
            "3.0 GiB short: 'gemma' is answering 3 requests",
        ),
        (
            make_peer("p", other(14), load=load_of(ModelLoad(OTHER, 0, 0, 4, 1, told_age(20.0)))),
            "new",
            "3.0 GiB short: 'gemma' has only just come, and stays 15s more",
        ),
        (
            make_peer("p", devices=(DeviceView("cuda:0", 16 * GIB, 2 * GIB),)),
            "foreign",
            "3.0 GiB short: other programs hold 14.0 GiB",
        ),
        (make_peer("p", gib=2), "too large", "needs 5.0 GiB, and cuda:0 has 2.0 GiB"),
        (make_peer("p", stored=()), "absent", "the model is not on its disk"),
        (make_peer("p", devices=()), "unknown", "it has not told what memory it has"),
        (make_peer("p", state="draining"), "away", "it is draining"),
    ],
)
def test_why_not_is_said_of_every_other_place(peer: PeerView, reason: str, words: str) -> None:
    assert reasons(plan(peer, make_peer("well"))) == [(reason, words)]


def test_higher_class_is_a_reason_where_classes_count() -> None:
    known = dataclasses.replace(KNOWN, rules=Rules("priority"))
    full = make_peer("p", other(14, priority=3))
    words = "3.0 GiB short: 'gemma' has the higher priority 3"
    assert reasons(plan(full, known=known)) == [("class", words)]
    favoured = dataclasses.replace(known, priority={"qwen": 3}.__getitem__)
    assert named(plan(full, known=favoured)) == "p"


def test_peer_that_is_wished_for_is_the_only_one_looked_at() -> None:
    small, large = make_peer("small", gib=2), make_peer("large")
    planned = plan(small, large, peer=small.node)
    assert planned.plan is None
    assert [one.peer for one in planned.refusals] == [small.node]


def test_the_dead_are_spoken_of_only_where_they_are_wished_for() -> None:
    dead = make_peer("dead", state="dead")
    assert plan(dead, make_peer("well")).refusals == ()
    assert reasons(plan(dead, peer=dead.node)) == [("away", "it is dead")]


def test_each_device_of_a_peer_is_a_place() -> None:
    devices = (DeviceView("cuda:0", 8 * GIB, 8 * GIB), DeviceView("cuda:1", 24 * GIB, 24 * GIB))
    planned = plan(make_peer("two", devices=devices))
    assert planned.plan is not None and planned.plan.device == 1
    assert [one.device for one in planned.others] == [0]


def test_costs_that_another_peer_knows_are_as_good_as_own_ones() -> None:
    unknown = dataclasses.replace(STORED, costs=None)
    asked = make_peer("a", stored=(unknown,))
    planned = plan(asked, make_peer("b", gib=1), peer=asked.node)
    assert planned.plan is not None and planned.plan.size.num_bytes == 6 * GIB


def test_where_nobody_knows_the_costs_the_files_are_the_least() -> None:
    unknown = dataclasses.replace(STORED, costs=None)
    planned = plan(make_peer("a", stored=(unknown,)), make_peer("b", stored=(unknown,), gib=3))
    assert named(planned) == "a"
    assert planned.plan is not None
    assert planned.plan.parts[0].note == "its files; what else it takes is not known yet"
    assert reasons(planned) == [("too large", "needs 4.0 GiB, and cuda:0 has 3.0 GiB")]


def test_own_word_of_this_peer_counts_and_not_what_it_told_the_fleet() -> None:
    me = make_peer("me", is_self=True)
    own = Planned(None, (Refusal(me.node, 0, "pinned", "'gemma' is pinned", 1, 2),))
    planned = plan_load(fleet(me, make_peer("you", gib=8)), LoadWish(MODEL), KNOWN, {me.node: own})
    assert named(planned) == "you"
    assert planned.refusals == own.refusals


def test_candidates_are_ranked_as_they_are_planned_and_none_is_left_out() -> None:
    peers = [
        make_peer("small", gib=2),
        make_peer("pinned", other(14, is_pinned=True)),
        make_peer("new", other(14), load=load_of(ModelLoad(OTHER, 0, 0, 4, 1, 1))),
        make_peer("used", other(14)),
        make_peer("silent", devices=()),
        make_peer("empty"),
        make_peer("suspect", state="suspect"),
        make_peer("loads", other(6, MODEL, state="loading", percent=10), state="suspect"),
    ]
    nodes = [NodeId(b"nobody--"), *(peer.node for peer in peers)]
    order = ranked(fleet(*peers), MODEL, nodes, KNOWN)
    assert [node.decode().rstrip("-") for node in order] == [
        "loads",
        "silent",
        "empty",
        "used",
        "suspect",
        "new",
        "pinned",
        "small",
        "nobody",
    ]


def full(words: str, required: int, short: int, *, is_final: bool = False, **more: Any) -> Any:
    """As a peer says that has no room."""
    shortage = MemoryShortage(required * GIB, (required - short) * GIB, is_final)
    return InsufficientVram(
        f"'qwen' has no place here; cuda:0: {words}", "unload it", shortage=shortage, **more
    )


def test_error_says_what_each_peer_said_that_was_asked() -> None:
    error: Any = nowhere("qwen", [("a", full("'gemma' is pinned", 5, 3)), ("b", full("no", 5, 2))])
    assert error.message == ("'qwen' has no place now: a: cuda:0: 'gemma' is pinned; b: cuda:0: no")
    assert (error.shortage.required_bytes, error.shortage.available_bytes) == (5 * GIB, 3 * GIB)
    assert not error.shortage.is_final


def test_error_says_when_it_is_worth_asking_again() -> None:
    said = [("a", full("new", 5, 3, retry_after_s=15)), ("b", full("new", 5, 3, retry_after_s=7))]
    error: Any = nowhere("qwen", said)
    assert error.retry_after_s == 7


def test_wait_is_told_to_other_peers_and_to_clients() -> None:
    error = errors.from_info(errors.to_info(InsufficientVram("full", retry_after_s=15)))
    told = tell(error, About())
    assert (told.status, told.retry_after_s) == (503, 15)


def test_the_only_word_is_told_as_it_was_said() -> None:
    only = full("no", 5, 3)
    assert nowhere("qwen", [("a", only)]) is only


def test_what_fits_nowhere_even_into_empty_devices_is_final() -> None:
    said = [("a", full("3", 5, 2, is_final=True)), ("b", full("2", 5, 3, is_final=True))]
    error: Any = nowhere("qwen", said)
    assert error.shortage.is_final
    assert error.shortage.available_bytes == 3 * GIB


def test_what_all_say_alike_is_said_once() -> None:
    error = ModelInvalid("cut off")
    assert nowhere("qwen", [("a", ModelInvalid("cut off")), ("b", error)]) is error


def test_one_that_lacks_memory_alone_may_have_it_later() -> None:
    broken = ModelInvalid("cut off")
    error: Any = nowhere("qwen", [("a", full("no", 5, 2, is_final=True)), ("b", broken)])
    assert isinstance(error, InsufficientVram)
    assert error.shortage is not None and not error.shortage.is_final
    assert error.message.endswith("; b: cut off")
    other = nowhere("qwen", [("a", EngineFailed("died")), ("b", broken)])
    assert isinstance(other, ModelInvalid)
    assert other.message == "no peer serves 'qwen' now: a: died; b: cut off"


def test_very_many_peers_are_counted_and_not_named() -> None:
    error = nowhere("qwen", [(f"p{number}", full("no", 5, 2)) for number in range(20)])
    assert error.message.endswith("; and 12 more")


def test_plan_is_told_with_names_and_sums() -> None:
    view = fleet(make_peer("full", other(12)), make_peer("b", gib=2), make_peer("c", gib=7))
    planned = plan_load(view, LoadWish(MODEL, view.peers[0].node), KNOWN)
    told = render_planned("qwen", planned, view)["plan"]
    assert (told["peer"], told["device_name"], told["bytes"]) == ("full", "cuda:0", 6 * GIB)
    assert told["victims"] == [
        {
            "id": "gemma",
            "weights": OTHER.hex(),
            "bytes": 12 * GIB,
            "idle_s": 30.0,
            "reload_s": 20.0,
        }
    ]
    told = render_planned("qwen", plan_load(view, LoadWish(MODEL), KNOWN), view)
    assert told["plan"]["peer"] == "c"
    assert [one["peer"] for one in told["others"]] == ["full"]
    assert [(one["peer"], one["reason"]) for one in told["refusals"]] == [("b", "too large")]


@given(st.floats(0, 1e12))
def test_a_told_age_is_never_more_than_it_is_and_more_than_half_of_it(age_s: float) -> None:
    least_s = least_age_s(told_age(age_s))
    assert least_s is not None
    assert least_s <= age_s
    assert 2 * least_s + 2 > min(age_s, 2.0**39)


@st.composite
def placed_models(draw: st.DrawFn) -> PlacedModel:
    number = draw(st.integers(1, 250))
    return other(
        draw(st.integers(1, 8)),
        ModelId(bytes([number] * 8)),
        id=str(number),
        is_pinned=draw(st.booleans()),
        state=draw(st.sampled_from(["ready", "ready", "loading"])),
    )


@st.composite
def fleets(draw: st.DrawFn) -> list[PeerView]:
    placed = st.lists(placed_models(), max_size=4, unique_by=lambda one: one.model)
    states = st.sampled_from(["up", "up", "suspect", "draining", "dead"])
    return [
        make_peer(f"p{n}", *draw(placed), gib=draw(st.integers(2, 40)), state=draw(states))
        for n in range(draw(st.integers(0, 5)))
    ]


@given(fleets())
def test_every_place_is_a_plan_or_a_refusal_and_none_takes_more_than_there_is(
    peers: list[PeerView],
) -> None:
    planned = plan(*peers)
    plans = [*([planned.plan] if planned.plan else []), *planned.others]
    places = {one.peer for one in itertools.chain(plans, planned.refusals)}
    assert places == {peer.node for peer in peers if peer.state != "dead"}
    for one in plans:
        assert one.free_after_bytes >= 0
        assert not any(victim.is_pinned or victim.num_inflight for victim in one.victims)
    assert all(one.words for one in planned.refusals)


@given(fleets(), st.randoms(use_true_random=False))
def test_the_same_view_gives_the_same_plan_in_whatever_order(
    peers: list[PeerView], rng: random.Random
) -> None:
    planned = plan(*peers)
    order = ranked(fleet(*peers), MODEL, [peer.node for peer in peers], KNOWN)
    assert planned.plan is None or planned.plan.peer == order[0]
    rng.shuffle(peers)
    assert plan(*peers) == planned
    assert ranked(fleet(*peers), MODEL, [peer.node for peer in peers], KNOWN) == order


def test_a_plan_counts_seconds_only_where_loads_were_seen() -> None:
    known = Known(sizes, parts)
    found = plan(make_peer("a"), known=known).plan
    assert isinstance(found, Plan) and found.seconds is None
