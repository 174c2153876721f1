"""Steps that are launched again as graphs give the tokens that steps of their own would give."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from cortex.engine.attention.tables import StepSlots
from cortex.engine.cache.pools import Pools, States
from cortex.engine.decoding.graphs import Capture, Replayable
from cortex.engine.decoding.inputs import Staging, StepInputs
from cortex.engine.decoding.keys import StepKey
from cortex.engine.decoding.step import DecodeStep
from cortex.engine.kernels.gpu.drawing import draw_tokens as draw_by_triton
from cortex.engine.kernels.gpu.operations import TritonOperations
from cortex.engine.layers.gated_delta import DeltaInputs, DeltaWeights, LinearState
from cortex.engine.layers.operations import PLAIN, Operations, use_operations
from cortex.engine.models.base import ServableModel
from cortex.engine.sampling.wishes import DrawTokens
from cortex.engine.speculation.paying import Choice, Offer, Prices
from cortex.engine.types import Prompt, Sampling
from tests.engine import asking
from tests.engine.asking import Asked
from tests.engine.calls import TOLD, WAITED, Calls

CAPACITY = replace(asking.ROOMY, num_pages=40, num_slots=6)
GREEDY = Sampling(seed=0, temperature=0.0)
# When each begins, in steps; how it is drawn; how long its answer is, and what else it asks.
REQUESTS: tuple[tuple[int, Sampling, int, dict[str, Any]], ...] = (
    (0, GREEDY, 20, {}),
    (0, Sampling(seed=5, temperature=4.0), 8, {}),
    (3, Sampling(seed=6, temperature=9.0), 16, {}),
    # Scores of its own are wanted of it: it is drawn beside the step.
    (12, Sampling(seed=7, temperature=5.0, frequency_penalty=0.5), 4, {"top_logprobs": 2}),
    (13, Sampling(seed=8, temperature=9.0, top_k=20), 6, {}),
)


def opened(
    model: ServableModel,
    draw_tokens: DrawTokens | None = None,
    capture: Capture | None = None,
    *,
    asks_head: bool = False,
) -> Asked:
    """Without `draw_tokens` the runner decodes, and torch draws."""
    return asking.opened(
        model, CAPACITY, 1 << 20,
        is_exact=False, draw_tokens=draw_tokens, capture=capture,
        asks_head=asks_head, choose_guesses=NowAndThen(),
    )  # fmt: skip


def prompt_of(number: int, sampling: Sampling, max_tokens: int, **more: Any) -> Prompt:
    token_ids = tuple(3 + (number * 37 + at * 11) % 900 for at in range(3 + number))
    return asking.prompt_of(token_ids, sampling=sampling, max_tokens=max_tokens, **more)


def run(told: Asked) -> Asked:
    """Requests come one after the other, and leave."""
    for number_of_step in range(40):
        for number, (begins, sampling, max_tokens, more) in enumerate(REQUESTS):
            if begins == number_of_step:
                told.add(str(number), prompt_of(number, sampling, max_tokens, **more))
        told.step()
    assert not told.service.has_work
    return told


@pytest.fixture
def expected(model: ServableModel) -> dict[str, list[int]]:
    """What the runner gives, told part by part, with torch drawing."""
    told = run(opened(model))
    assert set(told.ends.values()) == {"length"}
    return told.answers


def test_graphs_give_the_tokens_of_steps_without(
    model: ServableModel,
    draw_tokens: DrawTokens,
    capture: Capture,
    expected: dict[str, list[int]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        told = run(opened(model, draw_tokens, capture))

    assert not caplog.records
    assert told.answers == expected
    assert set(told.ends.values()) == {"length"}
    assert told.service.counts.num_replayed >= 8


def test_no_states_go_by_way_of_the_host_while_a_graph_is_tried(
    model: ServableModel,
    draw_tokens: DrawTokens,
    capture: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: Any) -> Any:
        raise AssertionError("they would be waited for")

    told = opened(model, draw_tokens, capture)
    for number in range(3):
        told.add(str(number), prompt_of(number, GREEDY, 6))
    monkeypatch.setattr(Pools, "copy_states_out", refused)
    told.run()

    assert told.service.counts.num_replayed >= 2


class NowAndThen:
    """Every fourth step a draft head is asked."""

    def __init__(self) -> None:
        self._num_steps = 0

    def __call__(self, offers: list[Offer], prices: Prices, most: int) -> list[Choice]:
        self._num_steps += 1
        if self._num_steps % 4:
            return [Choice()] * len(offers)
        return [Choice(min(2, offer.foreseen.num_guesses), True) for offer in offers]


def test_a_draft_head_hears_of_what_graphs_compute(
    model_with_draft_head: ServableModel, draw_tokens: DrawTokens, capture: Capture
) -> None:
    """It drafts the same as behind steps without them."""
    plain = run(opened(model_with_draft_head, asks_head=True))
    told = run(opened(model_with_draft_head, draw_tokens, capture, asks_head=True))

    assert told.answers == plain.answers
    counts, plain_counts = told.service.counts, plain.service.counts
    assert counts.num_replayed >= 4
    assert counts.num_drafted == plain_counts.num_drafted >= 8
    assert counts.num_accepted == plain_counts.num_accepted


def test_without_graphs_steps_draw_the_same(
    model: ServableModel, draw_tokens: DrawTokens, expected: dict[str, list[int]]
) -> None:
    told = run(opened(model, draw_tokens))

    assert told.answers == expected
    assert told.service.counts.num_replayed == 0


class Full:
    """A device that has no memory for a graph."""

    has_room = False

    def __call__(self, work: Callable[[], None]) -> Replayable:
        raise AssertionError("there is no room")


def test_where_there_is_no_room_for_graphs_steps_are_as_large_as_their_rows_are(
    model: ServableModel,
    draw_tokens: DrawTokens,
    expected: dict[str, list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = opened(model, draw_tokens, Full())
    keys: list[StepKey] = []
    compute = DecodeStep.__call__

    def noted(self: DecodeStep, key: StepKey, inputs: StepInputs) -> None:
        keys.append(key)
        compute(self, key, inputs)

    monkeypatch.setattr(DecodeStep, "__call__", noted)

    assert run(told).answers == expected
    assert 0 < max(key.num_pages for key in keys) < 256 // CAPACITY.page_tokens


class Broken:
    """A capture that is no good, in a way of its own."""

    has_room = True

    def __init__(self, replay: Callable[[], None] | None) -> None:
        self.num_captured = 0
        self._replay = replay

    def __call__(self, work: Callable[[], None]) -> Replayable:
        self.num_captured += 1
        if self._replay is None:
            raise RuntimeError("operation not permitted when stream is capturing")
        return self

    def replay(self) -> None:
        assert self._replay is not None
        self._replay()


def fail() -> None:
    raise RuntimeError("launch failed")


@pytest.mark.parametrize(
    ("replay", "told"),
    [
        (None, "operation not permitted when stream is capturing"),
        (fail, "launch failed"),
        (lambda: None, "launched again, it gives something else"),
    ],
)
def test_graphs_that_fail_are_told_of_once_and_change_nothing(
    model: ServableModel,
    draw_tokens: DrawTokens,
    expected: dict[str, list[int]],
    caplog: pytest.LogCaptureFixture,
    replay: Callable[[], None] | None,
    told: str,
) -> None:
    broken = Broken(replay)

    with caplog.at_level(logging.WARNING):
        answered = run(opened(model, draw_tokens, broken))

    assert answered.answers == expected
    assert [told in record.getMessage() for record in caplog.records] == [True]
    assert broken.num_captured == 1


@pytest.mark.parametrize("number_of_copy", [0, 1, 3, 5])
def test_a_graph_for_whose_trial_memory_does_not_reach_is_made_later(
    model: ServableModel,
    draw_tokens: DrawTokens,
    capture: Capture,
    expected: dict[str, list[int]],
    number_of_copy: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory ends at that state of two rows as before, as after the step, as after the graph."""
    copy, num_copied = Pools.copy_states, 0

    def copied(self: Pools, slot: int) -> States:
        nonlocal num_copied
        num_copied += 1
        if num_copied == number_of_copy + 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 144.00 MiB. Then")
        return copy(self, slot)

    monkeypatch.setattr(Pools, "copy_states", copied)
    monkeypatch.setattr("cortex.engine.decoding.graphs._USES_BEFORE_RETRY", 2)

    with caplog.at_level(logging.WARNING):
        told = run(opened(model, draw_tokens, capture))

    assert told.answers == expected
    assert told.service.counts.num_preemptions == 0
    assert told.service.counts.num_replayed >= 6
    [record] = caplog.records
    assert "no graph yet" in record.getMessage()
    assert "memory does not reach" in record.getMessage()


def test_what_the_host_still_decides_is_found_by_the_trial(
    model: ServableModel,
    draw_tokens: DrawTokens,
    capture: Capture,
    expected: dict[str, list[int]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def with_wishes_of_the_host(
        logits: torch.Tensor, masks: torch.Tensor, wishes: torch.Tensor, truncations: Any
    ) -> torch.Tensor:
        theirs = torch.frombuffer(bytearray(wishes.numpy().tobytes()), dtype=torch.int32)
        return draw_tokens(logits, masks, theirs.view(wishes.shape), truncations)

    with caplog.at_level(logging.WARNING):
        told = run(opened(model, with_wishes_of_the_host, capture))

    assert told.answers == expected
    assert "gives something else" in caplog.text


class Forgetful:
    """Draws right, and leaves states as they were."""

    has_room = True

    def __init__(self, operations: type[Operations], work: Callable[[], None] = fail) -> None:
        self._operations = operations
        self._work = work

    def __call__(self, work: Callable[[], None]) -> Replayable:
        return Forgetful(self._operations, work)

    def replay(self) -> None:
        def unkept(
            self: Operations,
            weights: DeltaWeights,
            inputs: DeltaInputs,
            kept: LinearState,
            slots: StepSlots,
        ) -> torch.Tensor:
            state = LinearState(kept.conv[slots.numbers], kept.recurrent[slots.numbers])
            return self.gated_delta_mix(weights, inputs, state)[0]

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(self._operations, "mix_kept", unkept)
            self._work()


def test_states_that_are_not_moved_on_are_found_by_the_trial(
    model: ServableModel,
    draw_tokens: DrawTokens,
    expected: dict[str, list[int]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        told = run(opened(model, draw_tokens, Forgetful(type(model.operations))))

    assert told.answers == expected
    assert ("gives something else" in caplog.text) == bool(model.shape.memory.linear)


def test_operations_that_ask_the_host_are_found_before_anybody_is_served(
    model: ServableModel,
    draw_tokens: DrawTokens,
    capture: Capture,
    expected: dict[str, list[int]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    theirs = model.operations
    use_operations(model, PLAIN)
    try:
        with caplog.at_level(logging.WARNING):
            told = run(opened(model, draw_tokens, capture))
    finally:
        use_operations(model, theirs)

    assert told.answers == expected
    assert "looked for on the host" in caplog.text


@pytest.mark.parametrize("has_graphs", [False, True])
def test_the_host_tells_a_step_all_at_once_and_waits_once(
    model: ServableModel,
    draw_tokens: DrawTokens,
    capture: Capture,
    has_graphs: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[int] = []
    send = Staging.send

    def counting(self: Staging, numbers: array[int], *to: torch.Tensor) -> torch.Tensor:
        sent.append(len(numbers))
        return send(self, numbers, *to)

    told = opened(model, draw_tokens, capture if has_graphs else None)
    for number in range(6):
        told.add(str(number), prompt_of(number, Sampling(seed=number), 12))
    for _ in range(5):
        told.step()

    monkeypatch.setattr(Staging, "send", counting)
    with Calls() as calls:
        told.step()

    assert (told.service.counts.num_replayed > 0) == has_graphs
    assert len(sent) == 1
    assert not calls.counted.keys() & TOLD
    assert {f: n for f, n in calls.counted.items() if f in WAITED} == {torch.Tensor.tolist: 1}


# A step is tried on memory that nobody has written: its numbers may be any.
@pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")
@pytest.mark.slow
def test_so_do_graphs_of_tritons_kernels(
    model: ServableModel, capture: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = model.operations
    use_operations(model, TritonOperations(None, None))
    asked = [Sampling(seed=1, temperature=8.0), GREEDY]
    answers: list[dict[str, list[int]]] = []
    try:
        with caplog.at_level(logging.WARNING):
            for draw, held in ((draw_by_triton, capture), (None, None)):
                told = opened(model, draw, held)
                for number, sampling in enumerate(asked):
                    told.add(str(number), prompt_of(number, sampling, 4))
                told.run()
                answers.append(told.answers)
                if held is not None:
                    assert told.service.counts.num_replayed == 1
    finally:
        use_operations(model, theirs)

    assert answers[0] == answers[1]
    assert not caplog.records
