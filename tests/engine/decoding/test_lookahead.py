"""Steps launched before the tokens of the last ones are known give the same answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex.engine.cache.store import PrefixStore
from cortex.engine.decoding.arriving import Arrive
from cortex.engine.decoding.graphs import Capture
from cortex.engine.decoding.inputs import StepInputs
from cortex.engine.decoding.keys import StepKey
from cortex.engine.decoding.step import DecodeStep
from cortex.engine.errors import DevicePoisoned
from cortex.engine.events import NewToken
from cortex.engine.messages import GenerateFailed, Wanted
from cortex.engine.models.base import ServableModel
from cortex.engine.recall import HostStore
from cortex.engine.sampling.wishes import DrawTokens
from cortex.engine.service import ModelService
from cortex.engine.serving import Capacity, make_service
from cortex.engine.speculation.guesses import Drafter
from cortex.engine.speculation.paying import Choice, Offer, Prices
from cortex.engine.types import Prompt, Sampling

ROOMY = Capacity(num_pages=40, num_slots=4, grid_tokens=48, encoder_bytes=1 << 20, page_tokens=16)
GREEDY = Sampling(seed=0, temperature=0.0)


class Counting(Protocol):
    num_launched: int
    num_ahead: int

    def __call__(self, drawn: torch.Tensor) -> Callable[[], list[int]]: ...


@dataclass(frozen=True)
class Request:
    begins: int
    prompt: Prompt
    wanted: int


@dataclass
class Asked:
    """Requests to a service, and what came of them: tokens, and how each ended."""

    service: ModelService
    answers: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    ends: dict[str, str] = field(default_factory=dict[str, str])
    num_cached: dict[str, int] = field(default_factory=dict[str, int])

    def add(self, name: str, prompt: Prompt) -> None:
        self.answers[name] = []
        self.service.add(Wanted(name, 0), prompt, now_s=0.0)

    def take(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, NewToken):
                assert event.request_id not in self.ends
                if event.token_id is not None:
                    self.answers[event.request_id].append(event.token_id)
                if event.finish is not None:
                    self.ends[event.request_id] = event.finish
                    self.num_cached[event.request_id] = event.num_cached
            elif isinstance(event, GenerateFailed):
                self.ends[event.request_id] = event.error.message

    def step(self) -> None:
        self.take(self.service.step(now_s=0.0))

    def run(self, requests: Sequence[Request] = ()) -> None:
        """Each comes at its step, and its client leaves when it has what it wanted."""
        last = max((request.begins for request in requests), default=0)
        for number_of_step in range(1000):
            for number, request in enumerate(requests):
                if request.begins == number_of_step:
                    self.add(str(number), request.prompt)
            self.step()
            for number, request in enumerate(requests):
                if len(self.answers.get(str(number), ())) >= request.wanted:
                    self.take(self.service.cancel(str(number), 0))
            if number_of_step >= last and not self.service.has_work:
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
    store: HostStore = PrefixStore(1 << 22)
    service = make_service(
        model, 1033, torch.device("cpu"), capacity, store, "model",
        draw_tokens=draw_tokens, capture=capture, arrive=arrive,
        make_drafter=make_drafter, choose_guesses=trusted,
    )  # fmt: skip
    return Asked(service)


def trusted(offers: list[Offer], prices: Prices, most: int) -> list[Choice]:
    """What was right lately is computed ahead, by no clock."""
    each = most // len(offers)
    looked_up = [offer.looked_up for offer in offers]
    return [Choice(min(each, c.num_guesses) if c.each > 0.5 else 0) for c in looked_up]


def prompt_of(number: int, num_tokens: int = 5, **changes: Any) -> Prompt:
    token_ids = tuple(3 + (number * 37 + at * 11) % 900 for at in range(num_tokens))
    prompt = Prompt(token_ids, (), (), GREEDY, 12, (), stop_token_ids=())
    return msgspec.structs.replace(prompt, **changes)


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
@given(requests=requests_of_some, has_graphs=st.booleans(), num_pages=st.sampled_from([7, 40]))
def test_whoever_comes_ends_leaves_or_gives_way_answers_are_the_same(
    model: ServableModel,
    draw_tokens: DrawTokens,
    capture: Capture,
    arrivals: Counting,
    requests: list[Request],
    has_graphs: bool,
    num_pages: int,
) -> None:
    def draw(logits: torch.Tensor, masks: torch.Tensor, wishes: torch.Tensor, kinds: Any) -> Any:
        """For some rows none can be drawn."""
        drawn = draw_tokens(logits, masks, wishes, kinds)
        return torch.where(drawn % 61 == 7, -1, drawn)

    capacity = replace(ROOMY, num_pages=num_pages, grid_tokens=16)
    plain = opened(model, draw, capacity=capacity)
    ahead = opened(model, draw, capture if has_graphs else None, arrivals, capacity)
    for asked in (plain, ahead):
        asked.run(requests)

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
        asked.run(requests)
        assert asked.service.counts.num_preemptions > 0

    assert ahead.answers == plain.answers
    assert arrivals.num_ahead > 20


def test_the_place_of_one_that_ended_is_anothers_while_its_last_step_is_on_its_way(
    model: ServableModel, draw_tokens: DrawTokens, arrivals: Counting
) -> None:
    """The other begins alike: what is remembered of the first holds nothing of that step."""
    capacity = replace(ROOMY, num_slots=1, grid_tokens=16)
    first = opened(model, draw_tokens)
    first.run([Request(0, prompt_of(1, 40), 99)])
    requests = [
        Request(0, prompt_of(1, 40, stop_token_ids=(first.answers["0"][6],)), 99),
        Request(0, prompt_of(1, 40, sampling=Sampling(seed=3, temperature=4.0), max_tokens=9), 99),
    ]
    plain, ahead = (
        opened(model, draw_tokens, arrive=arrive, capacity=capacity) for arrive in (None, arrivals)
    )
    for asked in (plain, ahead):
        asked.run(requests)

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
        asked.run(requests)
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
    plain.run([Request(0, prompt, 99)])
    tokens = [*prompt.token_ids, *plain.answers["0"]]
    ahead = opened(model, draw_tokens, arrive=arrivals, make_drafter=lambda: Knowing(tokens))
    ahead.run([Request(0, prompt, 99)])

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
    asked.run([Request(0, prompt_of(1), 99), Request(9, prompt_of(2), 99)])

    assert len(asked.answers["0"]) == 4 and "RuntimeError" in asked.ends["0"]
    assert asked.ends["1"] == "length"


@pytest.mark.parametrize("which", range(2, 9))
def test_who_begins_again_is_told_nothing_of_the_step_that_was_on_its_way(
    model: ServableModel, draw_tokens: DrawTokens, arrivals: Counting, which: int
) -> None:
    requests = [Request(0, prompt_of(number), 99) for number in (1, 2)]
    plain = opened(model, draw_tokens)
    plain.run(requests)

    def short_once(drawn: torch.Tensor) -> Callable[[], list[int]]:
        read = arrivals(drawn)
        return short if arrivals.num_launched == which else read

    ahead = opened(model, draw_tokens, arrive=short_once)
    ahead.run(requests)

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
        asked.run([Request(0, prompt_of(1), 99)])


def poison() -> list[int]:
    raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


def test_a_step_whose_client_has_left_is_let_go_with_all_that_it_holds(
    model: ServableModel, draw_tokens: DrawTokens, arrivals: Counting
) -> None:
    asked = four_steps_on(model, draw_tokens, arrivals)
    asked.take(asked.service.cancel("a", 0))
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
