"""Who is admitted, where one begins like another, and whose prompt a step reads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.cache.pages import PageAllocator
from cortex.engine.chunks import LEAST_SPARED_TOKENS
from cortex.engine.messages import Wanted
from cortex.engine.models.base import ModelShape
from cortex.engine.models.memory import AttentionShape, MemoryShape
from cortex.engine.scheduler import Scheduler, StepPlan
from cortex.engine.sequence import Sequence, open_sequence
from cortex.engine.types import Prompt, Sampling

SHAPE = ModelShape(320, 8, MemoryShape({0: AttentionShape(1, 8)}, {}))


def sequence(name: str, token_ids: range) -> Sequence:
    prompt = Prompt(tuple(token_ids), (), (), Sampling(seed=0), 8, (), ())
    return open_sequence(
        Wanted(name, 0), prompt, SHAPE,
        capacity_tokens=1000, grid_tokens=50, now_s=0.0,
    )  # fmt: skip


def scheduler() -> Scheduler:
    return Scheduler(PageAllocator(100), page_tokens=16, num_slots=8, step_tokens=50)


def test_one_waits_for_the_same_prompt_until_that_is_read() -> None:
    line, leader, follower = scheduler(), sequence("a", range(120)), sequence("b", range(120))
    line.add(leader)
    line.add(follower)

    assert line.admit(0.0) is leader
    assert line.admit(0.0) is None
    leader.num_computed = 100  # the last cut: remembered now
    assert line.admit(0.0) is follower


def test_nobody_waits_for_one_that_would_go_behind_it() -> None:
    line, leader, urgent = scheduler(), sequence("a", range(120)), sequence("b", range(120))
    urgent.priority = -1
    line.add(leader)
    assert line.admit(0.0) is leader
    line.add(urgent)

    assert line.admit(0.0) is urgent


def test_nobody_waits_for_a_beginning_too_short_to_matter() -> None:
    line, leader = scheduler(), sequence("a", range(70))
    leader.num_cached = leader.num_computed = 40
    line.add(leader)
    line.add(sequence("b", range(70)))

    assert line.admit(0.0) is leader
    assert line.admit(0.0) is not None


def cold(name: str, num_tokens: int, priority: int = 0, number: int = 0) -> Sequence:
    """One that begins like no other of another number."""
    new = sequence(name, range(1000 * number, 1000 * number + num_tokens))
    new.priority = priority
    return new


def computed(plan: StepPlan) -> dict[str, int]:
    """How many tokens of whom."""
    counts: dict[str, int] = {}
    for chunk in plan.chunks:
        name = chunk.sequence.request_id
        counts[name] = counts.get(name, 0) + chunk.end - chunk.sequence.num_computed
        chunk.sequence.num_computed = chunk.end
    return counts


def reading(*sequences: Sequence, step_tokens: int = 50) -> Scheduler:
    line = Scheduler(PageAllocator(1000), page_tokens=16, num_slots=8, step_tokens=step_tokens)
    for each in sequences:
        line.add(each)
        assert line.admit(0.0) is each
    return line


def test_a_short_prompt_does_not_wait_for_all_of_a_long_one() -> None:
    line = reading(cold("long", 900))
    steps = [computed(line.plan(0.0)) for _ in range(2)]
    line.add(cold("short", 30, number=1))
    assert line.admit(0.0) is not None

    steps += [computed(line.plan(0.0)) for _ in range(3)]

    assert steps == [{"long": 50}, {"long": 50}, {"short": 30}, {"long": 50}, {"long": 50}]


def test_what_is_left_of_a_step_goes_to_whose_next_chunk_fits() -> None:
    line = reading(cold("a", 50), cold("b", 90, number=1), cold("c", 20, number=2), step_tokens=70)

    assert computed(line.plan(0.0)) == {"a": 50, "c": 20}


def test_a_small_rest_goes_with_the_chunk_before_it_and_is_nobody_elses_room() -> None:
    line = reading(cold("a", 50 + LEAST_SPARED_TOKENS - 1), cold("b", 20, number=1))

    assert [computed(line.plan(0.0)) for _ in range(2)] == [{"a": 81}, {"b": 20}]


def test_a_larger_rest_has_a_step_of_its_own() -> None:
    line = reading(cold("a", 50 + LEAST_SPARED_TOKENS))

    assert [computed(line.plan(0.0)) for _ in range(2)] == [{"a": 50}, {"a": 32}]


def test_a_less_pressing_prompt_has_no_turn_before_a_long_one() -> None:
    line = reading(cold("long", 200), cold("short", 30, priority=5, number=1))

    assert [computed(line.plan(0.0)) for _ in range(5)] == [*[{"long": 50}] * 4, {"short": 30}]


def test_time_that_both_have_waited_takes_no_turn_away() -> None:
    line = reading(cold("long", 900))
    line.plan(0.0)
    late = cold("short", 30, number=1)
    late.arrived_s = 100.0
    line.add(late)
    assert line.admit(100.0) is late

    assert computed(line.plan(100.0)) == {"short": 30}


def test_who_leads_by_having_waited_brings_nobody_before_the_more_pressing() -> None:
    line = reading(cold("aged", 900, priority=5))
    line.plan(200.0)
    for late in (cold("pressing", 200, number=1), cold("short", 30, priority=5, number=2)):
        late.arrived_s = 190.0
        line.add(late)
        assert line.admit(200.0) is late

    assert computed(line.plan(200.0)) == {"pressing": 50}


@given(lengths=st.lists(st.integers(1, 400), min_size=1, max_size=30))
def test_the_first_in_order_is_read_from_every_other_step_whoever_comes(lengths: list[int]) -> None:
    line, passed_over = reading(), None
    coming = [cold(str(i), length, number=i) for i, length in enumerate(lengths)]
    line.add(coming.pop(0))
    while line or coming:
        if coming:
            line.add(coming.pop(0))
        while line.admit(0.0) is not None:
            pass
        first = line.in_order(line.running, 0.0)[0]
        before, counts = first.num_computed, computed(line.plan(0.0))
        assert sum(counts.values()) < 50 + LEAST_SPARED_TOKENS
        if first.num_computed == before:
            assert passed_over is not first
            passed_over = first
        else:
            passed_over = None
        for done in [s for s in line.running if s.is_prefilled]:
            line.remove(done)


def test_answers_that_began_elsewhere_go_before_those_who_wait_for_their_first_token() -> None:
    line = reading(cold("running", 50))
    fresh, resumed, pressing = (cold(name, 50, number=n) for n, name in enumerate("abc", 1))
    resumed.is_resumed, pressing.priority = True, -1
    for each in (fresh, resumed, pressing):
        line.add(each)

    assert line.in_order(line.waiting, 0.0) == [pressing, resumed, fresh]


def test_of_its_own_prompt_nothing_counts_as_remembered_once_it_has_given_way() -> None:
    one = cold("one", 50)
    one.skip_to(10)
    one.start_again()
    one.skip_to(40)

    assert (one.num_computed, one.num_cached) == (40, 10)
