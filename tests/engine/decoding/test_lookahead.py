"""Steps launched before the tokens of the last ones are known give the same answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex.engine.decoding.arriving import Arrive
from cortex.engine.decoding.graphs import Capture, Graphs
from cortex.engine.decoding.inputs import StepInputs
from cortex.engine.decoding.keys import StepKey
from cortex.engine.decoding.step import DecodeStep
from cortex.engine.errors import DevicePoisoned
from cortex.engine.models.base import ServableModel
from cortex.engine.sampling.wishes import DrawTokens
from cortex.engine.serving import Capacity
from cortex.engine.speculation.guesses import Drafter
from cortex.engine.speculation.paying import Choice, Offer, Prices
from cortex.engine.types import Prompt, Sampling
from tests.engine import asking
from tests.engine.asking import Asked

ROOMY = replace(asking.ROOMY, num_pages=40, num_slots=4)
GREEDY = Sampling(seed=0, temperature=0.0)
NO_TOKEN = "the model's scores leave no token to choose."


class Counting(Protocol):
    num_launched: int
    num_ahead: int

    def __call__(self, drawn: torch.Tensor) -> Callable[[], list[int]]: ...


@dataclass(frozen=True)
class Request:
    begins: int
    prompt: Prompt
    wanted: int


def run(asked: Asked, requests: Sequence[Request]) -> None:
    """Each comes at its step, and its client leaves when it has what it wanted."""
    last = max(request.begins for request in requests)
    for number_of_step in range(1000):
        for number, request in enumerate(requests):
            if request.begins == number_of_step:
                asked.add(str(number), request.prompt)
        asked.step()
        for number, request in enumerate(requests):
            if len(asked.answers.get(str(number), ())) >= request.wanted:
                asked.cancel(str(number))
        if number_of_step >= last and not asked.service.has_work:
            return
    raise AssertionError("the service never came to an end")


def opened(
    model: ServableModel,
    draw_tokens: DrawTokens,
    capture: Capture | None = None,
    arrive: Arrive | None = None,
    capacity: Capacity = ROOMY,
    make_drafter: Callable[[], Drafter] | None = None,
) -> Asked:
    return asking.opened(
        model, capacity, 1 << 22,
        draw_tokens=draw_tokens, capture=capture, arrive=arrive,
        make_drafter=make_drafter, choose_guesses=trusted,
    )  # fmt: skip


def trusted(offers: list[Offer], prices: Prices, most: int) -> list[Choice]:
    """What was right lately is computed ahead, by no clock."""
    each = most // len(offers)
    looked_up = [offer.looked_up for offer in offers]
    return [Choice(min(each, c.num_guesses) if c.each > 0.5 else 0) for c in looked_up]


def prompt_of(number: int, num_tokens: int = 5, **changes: Any) -> Prompt:
    token_ids = tuple(3 + (number * 37 + at * 11) % 900 for at in range(num_tokens))
    return asking.prompt_of(token_ids, **{"max_tokens": 12, **changes})


@pytest.mark.parametrize("has_graphs", [False, True])
def test_a_step_is_launched_before_the_last_ones_token_is_known(
    model: ServableModel,
    draw_tokens: DrawTokens,
    capture: Capture,
    arrivals: Counting,
    has_graphs: bool,
) -> None:
    plain = opened(model, draw_tokens)
    ahead = opened(model, draw_tokens, capture if has_graphs else None, arrivals)
    for asked in (plain, ahead):
        asked.add("a", prompt_of(1))
        for _ in range(12):
            asked.step()
        assert not asked.service.has_work

    assert ahead.answers == plain.answers and ahead.ends == {"a": "length"}
    # The prompt gives the first token. No step is launched beyond the last.
    assert arrivals.num_launched == 11
    # A graph is made at a step's second time, and launched ahead of that one's token.
    assert arrivals.num_ahead == (9 if has_graphs else 10)


SAMPLINGS = (
    GREEDY,
    Sampling(seed=5, temperature=4.0),
    Sampling(seed=6, temperature=9.0, top_k=20),
    # Drawn beside the step, and so nobody goes ahead of it.
    Sampling(seed=7, temperature=5.0, frequency_penalty=0.5),
)
# Two of them begin alike, and the second finds what is remembered of the first.
prompts = st.builds(
    prompt_of,
    st.integers(0, 1),
    st.sampled_from([5, 33, 60]),
    sampling=st.sampled_from(SAMPLINGS[:3] * 3 + SAMPLINGS),
    max_tokens=st.integers(1, 30),
    stop_token_ids=st.sampled_from([(), tuple(range(0, 1033, 20))]),
)
requests_of_some = st.lists(
    st.builds(Request, st.integers(0, 12), prompts, st.integers(1, 60)), min_size=1, max_size=5
)


@settings(
    max_examples=12, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    requests=requests_of_some,
    has_graphs=st.booleans(),
    num_pages=st.sampled_from([7, 40]),
    refuses=st.booleans(),
)
def test_whoever_comes_ends_leaves_or_gives_way_answers_are_the_same(
    model: ServableModel,
    draw_tokens: DrawTokens,
    capture: Capture,
    arrivals: Counting,
    requests: list[Request],
    has_graphs: bool,
    num_pages: int,
    refuses: bool,
) -> None:
    """Where the draw `refuses` some rows, as if none could be drawn, theirs end with that error and
    no other. Elsewhere nothing may fail: so many scores always leave a token.
    """

    def draw(logits: torch.Tensor, masks: torch.Tensor, wishes: torch.Tensor, kinds: Any) -> Any:
        drawn = draw_tokens(logits, masks, wishes, kinds)
        return torch.where(drawn % 19 == 7, -1, drawn) if refuses else drawn

    capacity = replace(ROOMY, num_pages=num_pages, grid_tokens=16)
    plain = opened(model, draw, capacity=capacity)
    ahead = opened(model, draw, capture if has_graphs else None, arrivals, capacity)
    for asked in (plain, ahead):
        asked.may_fail = refuses
        run(asked, requests)
        assert set(asked.messages.values()) <= {NO_TOKEN}

    for name, request in enumerate(requests):
        tokens, expected = ahead.answers[str(name)], plain.answers[str(name)]
        assert tokens[: request.wanted] == expected[: request.wanted]
        if len(expected) < request.wanted:
            assert ahead.ends[str(name)] == plain.ends[str(name)]


def test_who_gives_way_is_saved_as_far_as_it_was_told(
    model: ServableModel, draw_tokens: DrawTokens, arrivals: Counting
) -> None:
    requests = [Request(0, prompt_of(number, 14, max_tokens=40), 99) for number in range(3)]
    capacity = replace(ROOMY, num_pages=7)
    plain, ahead = (
        opened(model, draw_tokens, arrive=arrive, capacity=capacity) for arrive in (None, arrivals)
    )
    for asked in (plain, ahead):
        run(asked, requests)
        assert asked.service.counts.num_preemptions > 0

    assert ahead.answers == plain.answers
    assert arrivals.num_ahead > 20


def test_the_place_of_one_that_ended_is_anothers_while_its_last_step_is_on_its_way(
    model: ServableModel, draw_tokens: DrawTokens, arrivals: Counting
) -> None:
    """The other begins alike: what is remembered of the first holds nothing of that step."""
    capacity = replace(ROOMY, num_slots=1, grid_tokens=16)
    first = opened(model, draw_tokens)
    run(first, [Request(0, prompt_of(1, 40), 99)])
    requests = [
        Request(0, prompt_of(1, 40, stop_token_ids=(first.answers["0"][6],)), 99),
        Request(0, prompt_of(1, 40, sampling=Sampling(seed=3, temperature=4.0), max_tokens=9), 99),
    ]
    plain, ahead = (
        opened(model, draw_tokens, arrive=arrive, capacity=capacity) for arrive in (None, arrivals)
    )
    for asked in (plain, ahead):
        run(asked, requests)

    assert ahead.answers == plain.answers and ahead.ends == {"0": "stop", "1": "length"}
    assert ahead.num_cached == {"0": 0, "1": 32}
    num_told = sum(map(len, ahead.answers.values()))
    # Two tokens are of prompts; the stop token is not told, and one step was for nothing.
    assert arrivals.num_launched == num_told - 2 + 1 + 1


def four_steps_on(model: ServableModel, draw_tokens: DrawTokens, arrivals: Counting) -> Asked:
    """One answer, with a step on its way."""
    asked = opened(model, draw_tokens, arrive=arrivals)
    asked.add("a", prompt_of(1, max_tokens=30))
    for _ in range(4):
        asked.step()
    return asked


def test_who_comes_waits_for_no_more_than_the_step_on_its_way(
    model: ServableModel, draw_tokens: DrawTokens, arrivals: Counting
) -> None:
    asked = four_steps_on(model, draw_tokens, arrivals)
    assert arrivals.num_launched == len(asked.answers["a"]) == 4

    asked.add("b", prompt_of(2))
    asked.step()

    assert len(asked.answers["b"]) == 1
    assert len(asked.answers["a"]) == 6
    # With its prompt read it takes part, and both go ahead again.
    asked.step()
    assert len(asked.answers["b"]) == 2 and arrivals.num_launched == 7


def test_no_step_goes_ahead_onto_a_page_that_nobody_has(
    model: ServableModel, draw_tokens: DrawTokens, arrivals: Counting
) -> None:
    """The second fills its only page with its first step, and the first has all others."""
    requests = [
        Request(0, prompt_of(1, 20, max_tokens=20), 99),
        Request(2, prompt_of(2, 15, max_tokens=12), 99),
    ]
    capacity = replace(ROOMY, num_pages=4)
    plain, ahead = (
        opened(model, draw_tokens, arrive=arrive, capacity=capacity) for arrive in (None, arrivals)
    )
    for asked in (plain, ahead):
        run(asked, requests)
        assert asked.service.counts.num_preemptions == 1

    assert ahead.answers == plain.answers


class Knowing:
    """A drafter that knows what comes, ten tokens long; of the next ten it has no idea."""

    def __init__(self, tokens: list[int]) -> None:
        self._tokens = tokens
        self._num_taken = 0

    def take(self, token_ids: Sequence[int]) -> None:
        self._num_taken += len(token_ids)

    def draft(self, most: int) -> list[int]:
        if self._num_taken // 10 % 2 == 0:
            return []
        return self._tokens[self._num_taken : self._num_taken + min(most, 3)]


def test_guesses_that_pay_are_waited_for(
    model: ServableModel, draw_tokens: DrawTokens, arrivals: Counting
) -> None:
    prompt = prompt_of(1, max_tokens=60)
    plain = opened(model, draw_tokens)
    run(plain, [Request(0, prompt, 99)])
    tokens = [*prompt.token_ids, *plain.answers["0"]]
    ahead = opened(model, draw_tokens, arrive=arrivals, make_drafter=lambda: Knowing(tokens))
    run(ahead, [Request(0, prompt, 99)])

    assert ahead.answers == plain.answers
    assert ahead.service.counts.num_accepted > 10
    assert arrivals.num_ahead > 15


def test_tokens_that_never_come_end_their_answers_alone(
    model: ServableModel, draw_tokens: DrawTokens, arrivals: Counting
) -> None:
    def lost(drawn: torch.Tensor) -> Callable[[], list[int]]:
        read = arrivals(drawn)
        return fail if arrivals.num_launched == 4 else read

    asked = opened(model, draw_tokens, arrive=lost)
    asked.may_fail = True
    run(asked, [Request(0, prompt_of(1), 99), Request(9, prompt_of(2), 99)])

    assert len(asked.answers["0"]) == 4 and "RuntimeError" in asked.messages["0"]
    assert asked.ends["1"] == "length"


@pytest.mark.parametrize("which", range(2, 9))
def test_who_begins_again_is_told_nothing_of_the_step_that_was_on_its_way(
    model: ServableModel, draw_tokens: DrawTokens, arrivals: Counting, which: int
) -> None:
    requests = [Request(0, prompt_of(number), 99) for number in (1, 2)]
    plain = opened(model, draw_tokens)
    run(plain, requests)

    def short_once(drawn: torch.Tensor) -> Callable[[], list[int]]:
        read = arrivals(drawn)
        return short if arrivals.num_launched == which else read

    ahead = opened(model, draw_tokens, arrive=short_once)
    run(ahead, requests)

    assert (ahead.answers, ahead.ends) == (plain.answers, plain.ends)


def short() -> list[int]:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has less")


@pytest.mark.parametrize("which", [1, 4])
def test_a_device_that_is_lost_while_tokens_are_waited_for_is_told_as_that(
    model: ServableModel, draw_tokens: DrawTokens, arrivals: Counting, which: int
) -> None:
    def lost(drawn: torch.Tensor) -> Callable[[], list[int]]:
        read = arrivals(drawn)
        return poison if arrivals.num_launched == which else read

    asked = opened(model, draw_tokens, arrive=lost)
    with pytest.raises(DevicePoisoned, match="illegal memory access"):
        run(asked, [Request(0, prompt_of(1), 99)])


def poison() -> list[int]:
    raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


def test_a_step_whose_client_has_left_is_let_go_with_all_that_it_holds(
    model: ServableModel, draw_tokens: DrawTokens, arrivals: Counting
) -> None:
    asked = four_steps_on(model, draw_tokens, arrivals)
    asked.cancel("a")
    assert asked.service.has_work

    asked.step()

    assert not asked.service.has_work
    assert asked.ends == {"a": "cancelled"}


def fail() -> list[int]:
    raise RuntimeError("a device that failed")


@pytest.mark.parametrize("failing", [1, 2, 3, 5, 6])
def test_a_step_that_the_devices_memory_does_not_reach_for_leaves_the_same_answers(
    model: ServableModel,
    draw_tokens: DrawTokens,
    arrivals: Counting,
    monkeypatch: pytest.MonkeyPatch,
    failing: int,
) -> None:
    plain = opened(model, draw_tokens)
    ahead = opened(model, draw_tokens, arrive=arrivals)
    for asked in (plain, ahead):
        for name in ("a", "b"):
            asked.add(name, prompt_of(ord(name)))
    plain.run()
    compute, number = DecodeStep.__call__, 0

    def short(step: DecodeStep, key: StepKey, inputs: StepInputs) -> None:
        nonlocal number
        number += 1
        compute(step, key, inputs)
        if number == failing:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(DecodeStep, "__call__", short)
    ahead.run()

    assert number > failing
    assert (ahead.answers, ahead.ends) == (plain.answers, plain.ends)


def test_no_graph_is_tried_with_tokens_that_only_the_device_knows(
    model: ServableModel,
    draw_tokens: DrawTokens,
    capture: Capture,
    arrivals: Counting,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Room for one may come when it was decided that no graph is due."""
    requests = [Request(0, prompt_of(number, 9, max_tokens=30), 99) for number in range(2)]
    plain = opened(model, draw_tokens)
    ahead = opened(model, draw_tokens, capture, arrivals)

    def settled(graphs: Graphs[StepKey], key: StepKey) -> bool:
        return True

    monkeypatch.setattr(Graphs, "is_settled", settled)
    for asked in (plain, ahead):
        run(asked, requests)

    assert ahead.answers == plain.answers
    assert arrivals.num_ahead > 20
