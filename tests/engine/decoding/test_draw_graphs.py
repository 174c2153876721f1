"""Draws that are launched again as graphs give the tokens that draws of their own would give."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, cast

import pytest
import torch
from msgspec.structs import replace

from cortex.engine.decoding.draw_graphs import DrawGraphs
from cortex.engine.decoding.graphs import Capture, Replayable
from cortex.engine.guiding import Guiding
from cortex.engine.models.base import ServableModel
from cortex.engine.sampler import DrawUsual, SamplingRow, choose_tokens
from cortex.engine.sampling.wishes import DrawTokens
from cortex.engine.serving import Capacity
from cortex.engine.tokenizer import Tokenizer
from cortex.engine.types import Sampling
from tests.engine.asking import CPU, opened, prompt_of

VOCAB = 330
NOTHING = torch.tensor([], dtype=torch.long)
GREEDY = Sampling(0, temperature=0.0)


class Counting(Protocol):
    num_ahead: int

    def __call__(self, drawn: torch.Tensor) -> Callable[[], list[int]]: ...


def mask_of(generator: torch.Generator) -> torch.Tensor:
    return torch.randint(-(2**31), 2**31, (-(-VOCAB // 32),), generator=generator).int()


def by_torch(logits: torch.Tensor, rows: Sequence[SamplingRow]) -> torch.Tensor:
    chosen = choose_tokens(logits.clone(), rows, NOTHING)
    return torch.tensor([-1 if one is None else one.token_id for one in chosen])


def never(logits: torch.Tensor, rows: Sequence[SamplingRow]) -> torch.Tensor:
    raise AssertionError("there are graphs for these")


def graphs(draw_tokens: DrawTokens, capture: Capture, draw_usual: DrawUsual = never) -> DrawGraphs:
    return DrawGraphs(draw_usual, draw_tokens, capture, VOCAB, 17, CPU)


def batches(num_rows: int) -> list[tuple[torch.Tensor, list[SamplingRow]]]:
    """Batches of the same kinds of rows: other scores, masks, seeds and places each time."""
    generator = torch.Generator().manual_seed(num_rows)
    made: list[tuple[torch.Tensor, list[SamplingRow]]] = []
    for number in range(6):
        samplings = [GREEDY, Sampling(number, temperature=2.0), Sampling(9 + number, top_k=20)]
        rows = [
            SamplingRow(
                samplings[place % 3], number + place,
                mask=None if place % 4 == 3 else mask_of(generator),
            )
            for place in range(num_rows)
        ]  # fmt: skip
        made.append((torch.randn(num_rows, VOCAB, generator=generator), rows))
    return made


class Counted:
    """A capture whose replays are counted."""

    has_room = True

    def __init__(self, capture: Capture) -> None:
        self.num_captured = 0
        self.num_replayed = 0
        self._capture = capture

    def __call__(self, work: Callable[[], None]) -> Replayable:
        self.num_captured += 1
        recording = self._capture(work)
        counted = self

        class Again:
            def replay(self) -> None:
                counted.num_replayed += 1
                recording.replay()

        return Again()


@pytest.mark.parametrize("num_rows", [1, 3, 5, 16])
def test_graphs_draw_what_torch_draws_under_masks_that_change(
    draw_tokens: DrawTokens, capture: Capture, num_rows: int
) -> None:
    counted = Counted(capture)
    draw = graphs(draw_tokens, counted)

    for logits, rows in batches(num_rows):
        assert draw(logits, rows).tolist() == by_torch(logits, rows).tolist()

    assert counted.num_captured == 1
    # The first draw makes kernels ready; at the second the graph is tried.
    assert counted.num_replayed == 1 + 4


def test_an_answer_with_a_grammar_obeys_and_others_go_ahead_when_it_has_ended(
    model: ServableModel,
    draw_tokens: DrawTokens,
    capture: Capture,
    arrivals: Counting,
    golden: Path,
) -> None:
    tokenizer = Tokenizer(golden / "qwen3_5" / "tokenizer.json")
    form = 'start: %json {"type": "integer", "minimum": 1000, "maximum": 99999}\n'
    prompt = prompt_of((5, 9, 30), sampling=Sampling(seed=3), max_tokens=24, stop_token_ids=(1000,))
    capacity = Capacity(num_pages=20, num_slots=4, grid_tokens=48, encoder_bytes=1, page_tokens=16)
    counted = Counted(capture)
    answers: list[dict[str, list[int]]] = []
    for held in (None, counted):
        asked = opened(
            model, capacity, guiding=Guiding(tokenizer),
            draw_usual=never if held else None, draw_tokens=draw_tokens if held else None,
            capture=held, arrive=arrivals if held else None,
        )  # fmt: skip
        asked.add("free", prompt)
        asked.add("held", replace(prompt, grammar=form))
        asked.run()
        answers.append(asked.answers)

    assert answers[0] == answers[1]
    assert 1000 <= int(tokenizer.decode(answers[1]["held"])) <= 99999
    assert len(answers[1]["free"]) == 24
    assert arrivals.num_ahead > 5 and counted.num_replayed > 10


def test_a_row_that_may_be_nothing_gets_nothing(draw_tokens: DrawTokens, capture: Capture) -> None:
    draw = graphs(draw_tokens, capture)
    none_allowed = torch.zeros(-(-VOCAB // 32), dtype=torch.int32)
    rows = [SamplingRow(GREEDY, 4, mask=none_allowed), SamplingRow(GREEDY, 4)]

    for _ in range(3):
        logits = torch.randn(2, VOCAB)
        assert draw(logits, rows).tolist() == [-1, int(logits[1].argmax())]


def test_more_rows_than_graphs_take_are_drawn_launch_by_launch(
    draw_tokens: DrawTokens, capture: Capture
) -> None:
    counted = Counted(capture)
    draw = graphs(draw_tokens, counted, by_torch)

    for logits, rows in batches(17):
        assert draw(logits, rows).tolist() == by_torch(logits, rows).tolist()

    assert counted.num_captured == 0


class Broken:
    """A capture that is no good: it raises, or what it gives does nothing."""

    has_room = True

    def __init__(self, *, raises: bool) -> None:
        self._raises = raises

    def __call__(self, work: Callable[[], None]) -> Replayable:
        if self._raises:
            raise RuntimeError("operation not permitted when stream is capturing")
        return self

    def replay(self) -> None:
        pass


@pytest.mark.parametrize(
    ("raises", "told"), [(True, "not permitted"), (False, "gives something else")]
)
def test_graphs_that_fail_are_told_of_once_and_change_no_token(
    draw_tokens: DrawTokens, caplog: pytest.LogCaptureFixture, raises: bool, told: str
) -> None:
    draw = graphs(draw_tokens, Broken(raises=raises), by_torch)

    with caplog.at_level(logging.WARNING):
        for logits, rows in batches(3):
            assert draw(logits, rows).tolist() == by_torch(logits, rows).tolist()

    assert [told in record.getMessage() for record in caplog.records] == [True]


def test_a_graph_for_which_memory_does_not_reach_is_made_later_and_changes_no_token(
    draw_tokens: DrawTokens, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short_once(work: Callable[[], None]) -> Replayable:
        if counted.num_captured == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB. GPU 0")
        return capture(work)

    counted = Counted(cast("Capture", short_once))
    draw = graphs(draw_tokens, counted)
    monkeypatch.setattr("cortex.engine.decoding.graphs._USES_BEFORE_RETRY", 1)

    for logits, rows in batches(3):
        assert draw(logits, rows).tolist() == by_torch(logits, rows).tolist()

    assert counted.num_captured == 2
    assert counted.num_replayed == 1 + 2
