"""What goes for a model that wants a place, and why it gets none."""

from __future__ import annotations

import dataclasses
import random
from itertools import combinations
from math import fsum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.gossip.ids import ModelId
from cortex.peer.placement.books import DeviceBooks, Need, Resident, Rules, Size
from cortex.peer.placement.fit import HALF_LIFE_S, Fit, NoFit, fit, reload_s
from cortex.peer.placement.turns import Refused, Wanted
from cortex.peer.placement.wording import no_place

LRU = Rules()
PRIORITY = Rules("priority")
GIB = 1 << 30


def make_resident(id: str, num_gib: float, **changes: Any) -> Resident:
    """A ready model of so many GiB, idle for an hour, that takes 10 s to bring back."""
    fields: dict[str, Any] = {
        "model": ModelId(id.encode().ljust(8, b"-")[:8]),
        "id": id,
        "state": "ready",
        "reserved_bytes": int(num_gib * GIB),
        "idle_s": 3600.0,
        "age_s": 7200.0,
        "reload_s": 10.0,
    }
    return Resident(**(fields | changes))


def make_need(*sizes_gib: float, priority: int = 0) -> Need:
    """A model of sizes in GiB, the most welcome one first."""
    sizes = tuple(Size(int(4096 * num), 1, int(num * GIB)) for num in sizes_gib)
    return Need(ModelId(b"wanted--"), "wanted", sizes, priority)


def make_books(budget_gib: float, *residents: Resident, foreign_gib: float = 0.0) -> DeviceBooks:
    foreign_bytes = int(foreign_gib * GIB)
    return DeviceBooks(0, "cuda:0", int(budget_gib * GIB), foreign_bytes, residents)


def ids(found: Fit | NoFit) -> list[str]:
    assert isinstance(found, Fit)
    return [victim.id for victim in found.victims]


def refused(found: Fit | NoFit) -> NoFit:
    assert isinstance(found, NoFit)
    return found


def test_the_most_welcome_size_that_has_room_is_taken() -> None:
    assert fit(make_books(10), make_need(12, 8, 4), LRU) == Fit(make_need(8).sizes[0])


def test_nothing_goes_while_the_smallest_size_has_room() -> None:
    found = fit(make_books(10, make_resident("old", 6)), make_need(8, 4), LRU)
    assert isinstance(found, Fit)
    assert (found.size.num_bytes, found.victims) == (4 * GIB, ())


def test_the_place_that_victims_leave_is_used_whole() -> None:
    found = fit(make_books(10, make_resident("old", 7)), make_need(12, 8, 4), LRU)
    assert ids(found) == ["old"]
    assert isinstance(found, Fit) and found.size.num_bytes == 8 * GIB


def test_what_has_been_idle_for_longer_goes() -> None:
    there = make_books(
        8, make_resident("new", 4, idle_s=600.0), make_resident("old", 4, idle_s=900.0)
    )
    assert ids(fit(there, make_need(4), LRU)) == ["old"]


def test_a_quick_model_goes_before_a_slow_one_that_is_as_idle() -> None:
    there = make_books(
        8, make_resident("slow", 4, reload_s=60.0), make_resident("quick", 4, reload_s=2.0)
    )
    assert ids(fit(there, make_need(4), LRU)) == ["quick"]


def test_two_quick_models_may_be_cheaper_than_a_slow_one() -> None:
    small = [make_resident(name, 2, reload_s=1.0) for name in ("a", "b")]
    assert ids(
        fit(make_books(8, make_resident("slow", 4, reload_s=60.0), *small), make_need(4), LRU)
    ) == [
        "a",
        "b",
    ]


def test_of_two_that_cost_the_same_the_smaller_goes() -> None:
    assert ids(
        fit(make_books(8, make_resident("a", 5), make_resident("b", 3)), make_need(3), LRU)
    ) == ["b"]


def test_victims_go_in_the_order_of_their_idleness() -> None:
    there = make_books(8, make_resident("a", 4, idle_s=600.0), make_resident("b", 4, idle_s=900.0))
    assert ids(fit(there, make_need(8), LRU)) == ["b", "a"]


def test_a_model_of_a_higher_class_outlasts_whatever_it_costs() -> None:
    cheap = make_resident("cheap", 4, reload_s=1.0, priority=1)
    dear = make_resident("dear", 4, reload_s=600.0, idle_s=60.0)
    assert ids(fit(make_books(8, cheap, dear), make_need(4, priority=1), PRIORITY)) == ["dear"]
    assert ids(fit(make_books(8, cheap, dear), make_need(4, priority=1), LRU)) == ["cheap"]


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"is_pinned": True}, "pinned", "3.0 GiB short: 'old' is pinned"),
        ({"num_inflight": 2}, "busy", "3.0 GiB short: 'old' is answering 2 requests"),
        ({"num_inflight": 1}, "busy", "3.0 GiB short: 'old' is answering 1 request"),
        ({"state": "loading"}, "busy", "3.0 GiB short: 'old' is loading"),
        ({"state": "unloading"}, "busy", "3.0 GiB short: 'old' is unloading"),
        (
            {"age_s": 12.0, "idle_s": 2.0},
            "new",
            "3.0 GiB short: 'old' has only just come, and stays 8.0s more",
        ),
    ],
)
def test_what_may_not_go_is_named(changes: dict[str, Any], reason: str, words: str) -> None:
    found = refused(fit(make_books(8, make_resident("old", 6, **changes)), make_need(5), LRU))
    assert (found.reason, found.words, found.short_bytes) == (reason, words, 3 * GIB)


def test_a_higher_class_stays_under_priority_alone() -> None:
    there = make_books(8, make_resident("old", 6, priority=2))
    found = refused(fit(there, make_need(5, priority=1), PRIORITY))
    assert (found.reason, found.words) == (
        "class",
        "3.0 GiB short: 'old' has the higher priority 2",
    )
    assert ids(fit(there, make_need(5, priority=2), PRIORITY)) == ["old"]
    assert ids(fit(there, make_need(5, priority=1), LRU)) == ["old"]


def test_what_no_empty_device_holds_is_too_large() -> None:
    found = refused(
        fit(make_books(8, make_resident("old", 6, is_pinned=True)), make_need(20, 9), LRU)
    )
    assert (found.reason, found.short_bytes) == ("too large", 1 * GIB)
    assert found.words == "needs 9.0 GiB, and cuda:0 has 8.0 GiB"


def test_a_budget_of_what_was_free_at_a_start_is_told_as_that() -> None:
    books = dataclasses.replace(make_books(8), is_of_start=True)
    found = refused(fit(books, make_need(20, 9), LRU))
    assert found.words.endswith("has 8.0 GiB, a share of what was free when its peer started")
    wanted, reasons = Wanted(make_need(20, 9)), Refused(((0, found),))
    assert "restart its peer" in no_place(wanted, reasons, [books]).hint
    assert "restart" not in no_place(wanted, reasons, [make_books(8)]).hint


def test_memory_that_others_hold_is_told_of() -> None:
    found = refused(fit(make_books(8, foreign_gib=5.5), make_need(4), LRU))
    assert (found.reason, found.words) == (
        "foreign",
        "1.5 GiB short: other programs hold 5.5 GiB",
    )


def test_what_changes_by_itself_is_the_reason_before_what_does_not() -> None:
    there = [make_resident("held", 4, is_pinned=True), make_resident("used", 4, num_inflight=1)]
    assert refused(fit(make_books(8, *there), make_need(4), LRU)).reason == "busy"
    assert refused(fit(make_books(8, *there), make_need(5), LRU)).reason == "pinned"


def test_when_a_new_model_may_go_is_told() -> None:
    new = make_resident("new", 4, age_s=12.0, idle_s=12.0, reload_s=None)
    slow = make_resident("slow", 4, age_s=12.0, idle_s=0.0, reload_s=90.0)
    quick = make_resident("quick", 4, age_s=12.0, idle_s=1.0, reload_s=3.0)
    assert refused(fit(make_books(4, new), make_need(4), LRU)).wait_s == 18.0
    assert refused(fit(make_books(4, slow), make_need(4), LRU)).wait_s == 18.0
    assert refused(fit(make_books(4, quick), make_need(4), LRU)).wait_s == 2.0
    assert refused(fit(make_books(12, new, slow, quick), make_need(4), LRU)).wait_s == 2.0
    assert refused(fit(make_books(12, new, slow, quick), make_need(8), LRU)).wait_s == 18.0


def test_a_model_that_has_been_idle_for_as_long_as_its_load_took_may_go() -> None:
    spent = make_resident("spent", 4, age_s=5.0, idle_s=4.0, reload_s=3.0)
    assert ids(fit(make_books(4, spent), make_need(4), LRU)) == ["spent"]


def test_of_very_many_models_enough_go() -> None:
    many = [make_resident(f"m{index}", 1, reload_s=float(index)) for index in range(40)]
    random.Random(1).shuffle(many)
    found = fit(make_books(40, *many), make_need(20), LRU)
    assert sorted(ids(found)) == sorted(f"m{index}" for index in range(20))


_SECONDS = st.integers(0, 1200).map(float)


@st.composite
def residents(draw: st.DrawFn) -> tuple[Resident, ...]:
    return tuple(
        Resident(
            ModelId(bytes([index] * 8)),
            f"m{index}",
            draw(st.sampled_from(["ready", "ready", "ready", "loading", "unloading"])),
            draw(st.integers(0, 12)),
            num_inflight=draw(st.sampled_from([0, 0, 0, 1])),
            idle_s=draw(_SECONDS),
            age_s=draw(_SECONDS),
            reload_s=draw(st.none() | _SECONDS),
            is_pinned=draw(st.sampled_from([False, False, False, True])),
            priority=draw(st.integers(0, 2)),
        )
        for index in range(draw(st.integers(0, 7)))
    )


_BOOKS = st.builds(
    DeviceBooks,
    st.just(0),
    st.just("cpu"),
    st.integers(0, 60),
    st.integers(0, 10),
    residents(),
)
_SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=4).map(
    lambda numbers: tuple(Size(num, 1, num) for num in sorted(numbers, reverse=True))
)
_NEEDS = st.builds(Need, st.just(ModelId(b"wanted--")), st.just("w"), _SIZES, st.integers(0, 2))
_RULES = st.builds(
    Rules, st.sampled_from(["lru", "priority"]), min_residency_s=st.integers(0, 60).map(float)
)


def may_go(one: Resident, need: Need, rules: Rules) -> bool:
    stayed = one.age_s >= rules.min_residency_s or one.idle_s >= reload_s(one, rules)
    is_free = one.state == "ready" and not one.is_pinned and one.num_inflight == 0
    return is_free and stayed and (rules.strategy == "lru" or one.priority <= need.priority)


def costs(victims: tuple[Resident, ...], rules: Rules) -> list[float]:
    """By class, the highest first; under "lru" there is one class."""
    of_class = [one.priority if rules.strategy == "priority" else 0 for one in victims]
    each = [0.5 ** (one.idle_s / HALF_LIFE_S) * reload_s(one, rules) for one in victims]
    pairs = list(zip(of_class, each, strict=True))
    return [fsum(cost for which, cost in pairs if which == wanted) for wanted in (2, 1, 0)]


@given(_BOOKS, _NEEDS, _RULES)
def test_a_fit_takes_no_more_than_there_is_and_nothing_that_must_stay(
    books: DeviceBooks, need: Need, rules: Rules
) -> None:
    found = fit(books, need, rules)
    if isinstance(found, Fit):
        assert found.size in need.sizes
        assert found.size.num_bytes <= books.free_bytes + found.freed_bytes
        assert all(may_go(victim, need, rules) for victim in found.victims)
        assert len(set(found.victims)) == len(found.victims)


@given(_BOOKS, _NEEDS, _RULES)
def test_no_sufficient_set_is_cheaper_and_none_is_overlooked(
    books: DeviceBooks, need: Need, rules: Rules
) -> None:
    found = fit(books, need, rules)
    free = [one for one in books.residents if may_go(one, need, rules)]
    least_bytes = need.sizes[-1].num_bytes
    sufficient = [
        victims
        for number in range(len(free) + 1)
        for victims in combinations(free, number)
        if books.free_bytes + sum(one.reserved_bytes for one in victims) >= least_bytes
    ]
    assert isinstance(found, Fit) == bool(sufficient)
    if isinstance(found, Fit):
        assert costs(found.victims, rules) == min(costs(victims, rules) for victims in sufficient)
        assert found.cost_s == fsum(costs(found.victims, rules))


@given(_BOOKS, _NEEDS, _RULES, st.randoms(use_true_random=False))
def test_the_same_books_give_the_same_fit_in_whatever_order(
    books: DeviceBooks, need: Need, rules: Rules, rng: random.Random
) -> None:
    shuffled = list(books.residents)
    rng.shuffle(shuffled)
    again = dataclasses.replace(books, residents=tuple(shuffled))
    assert fit(again, need, rules) == fit(books, need, rules)


@given(_BOOKS, _NEEDS, _RULES, st.integers(0, 20))
def test_more_memory_never_costs_more(
    books: DeviceBooks, need: Need, rules: Rules, more_bytes: int
) -> None:
    before = fit(books, need, rules)
    larger = dataclasses.replace(books, budget_bytes=books.budget_bytes + more_bytes)
    after = fit(larger, need, rules)
    if isinstance(before, Fit):
        assert isinstance(after, Fit)
        assert costs(after.victims, rules) <= costs(before.victims, rules)


@given(_BOOKS, _NEEDS, _RULES)
def test_a_refusal_says_how_much_is_missing_and_when_to_ask_again(
    books: DeviceBooks, need: Need, rules: Rules
) -> None:
    found = fit(books, need, rules)
    if isinstance(found, NoFit):
        assert found.short_bytes > 0 and found.words
        larger = dataclasses.replace(books, budget_bytes=books.budget_bytes + found.short_bytes)
        if found.reason != "too large":
            assert isinstance(fit(larger, need, rules), Fit)
        assert (found.wait_s is not None) == (found.reason == "new")
        if found.wait_s is not None:
            assert isinstance(fit(later(books, found.wait_s), need, rules), Fit)


def later(books: DeviceBooks, wait_s: float) -> DeviceBooks:
    residents = tuple(
        dataclasses.replace(one, idle_s=one.idle_s + wait_s, age_s=one.age_s + wait_s)
        for one in books.residents
    )
    return dataclasses.replace(books, residents=residents)


def make_short_need(*contexts: int, least: int = 0, comfort: int = 16_384) -> Need:
    """A model that takes 7 GiB, and one more for each 8,192 tokens of context."""
    sizes = tuple(Size(tokens, 1, 7 * GIB + tokens * GIB // 8192) for tokens in contexts)
    return Need(ModelId(b"wanted--"), "wanted", sizes, least_tokens=least, comfort_tokens=comfort)


def context_of(found: Fit | NoFit) -> tuple[int, list[str], bool]:
    assert isinstance(found, Fit)
    return found.size.context_tokens, ids(found), found.is_tight


def test_what_nobody_has_used_for_long_goes_before_a_model_is_loaded_tiny() -> None:
    wanted = make_short_need(32_768, 16_384, 8192, 4096)
    idle = make_books(16, make_resident("old", 8))
    assert context_of(fit(idle, wanted, LRU)) == (32_768, ["old"], False)
    used = make_books(16, make_resident("old", 8, idle_s=HALF_LIFE_S - 1))
    assert context_of(fit(used, wanted, LRU)) == (8192, [], True)


def test_for_a_prompt_that_needs_it_goes_whatever_may() -> None:
    wanted = make_short_need(32_768, 16_384, 8192, 4096, least=9000)
    used = make_resident("old", 8, idle_s=HALF_LIFE_S - 1)
    assert context_of(fit(make_books(16, used), wanted, LRU)) == (32_768, ["old"], False)
    at_work = dataclasses.replace(used, num_inflight=1)
    assert context_of(fit(make_books(16, at_work), wanted, LRU)) == (8192, [], True)


def test_a_model_that_is_comfortable_nowhere_is_loaded_as_it_can_be() -> None:
    wanted = make_short_need(32_768, 16_384, 8192, 4096)
    assert context_of(fit(make_books(8), wanted, LRU)) == (8192, [], True)


def test_a_large_size_is_for_a_prompt_that_no_other_has_room_for() -> None:
    def found(least: int, likely: int, *residents: Resident) -> tuple[int, list[str]]:
        wanted = make_short_need(65_536, 32_768, 16_384, 8192, 4096, least=least, comfort=likely)
        first, *others = wanted.sizes
        sizes = dataclasses.replace(first, is_large=True), *others
        need = dataclasses.replace(wanted, sizes=sizes)
        return context_of(fit(make_books(20, *residents), need, LRU))[:2]

    assert found(0, 16_384) == found(32_768, 32_768) == (32_768, [])
    assert found(32_769, 32_769) == (65_536, [])
    # All that an answer might come to is no need for it, but for as much as is usual.
    assert found(100, 60_000) == (32_768, [])
    old = make_resident("old", 12)
    assert found(100, 60_000, old) == (32_768, ["old"])
    assert found(100, 60_000, dataclasses.replace(old, idle_s=60.0)) == (8192, [])
