"""For whom guesses are made in a step, and how much of a step that may take."""

from __future__ import annotations

from collections.abc import Sequence as Tokens
from dataclasses import dataclass

from cortex.engine.cache.pages import PageAllocator
from cortex.engine.messages import Generate
from cortex.engine.models.base import ModelShape
from cortex.engine.models.memory import AttentionShape, MemoryShape
from cortex.engine.sequence import Sequence, open_sequence
from cortex.engine.speculation.speculator import Speculator
from cortex.engine.types import Prompt, Sampling

SHAPE = ModelShape(320, 8, MemoryShape({0: AttentionShape(1, 8)}, {}))


@dataclass
class Certain:
    """A drafter that expects the same token for ever, and counts what it has seen."""

    num_taken: int = 0

    def take(self, token_ids: Tokens[int]) -> None:
        self.num_taken += len(token_ids)

    def draft(self, most: int) -> list[int]:
        return [7] * most


def answering(num_prompt: int) -> Sequence:
    """One whose first token was drawn."""
    prompt = Prompt(tuple(range(num_prompt)), (), (), Sampling(seed=0), 99, (), ())
    sequence = open_sequence(
        Generate("a", 0, "model", b""), prompt, SHAPE,
        capacity_tokens=100_000, grid_tokens=50, now_s=0.0,
    )  # fmt: skip
    sequence.pages = PageAllocator(1000).allocate(-(-num_prompt // 16) + 2)
    sequence.num_computed = num_prompt
    sequence.append(7)
    return sequence


def speculator(drafters: list[Certain]) -> Speculator:
    def make_drafter() -> Certain:
        drafters.append(Certain())
        return drafters[-1]

    made = Speculator(make_drafter, num_slots=8, page_tokens=16)
    for _ in range(2):
        made.learn(2, 0, 0.01)
    return made


def test_nothing_is_guessed_where_every_row_is_an_answers() -> None:
    drafters: list[Certain] = []
    assert speculator(drafters).drafts([answering(5) for _ in range(8)]) == {}
    assert drafters == []


def test_the_prompts_of_many_answers_are_not_taken_in_by_one_step() -> None:
    drafters: list[Certain] = []
    answers, made = [answering(3000), answering(3000)], speculator(drafters)

    assert set(made.drafts(answers)) == {answers[0]}
    assert [drafter.num_taken for drafter in drafters] == [3001, 1095]
    assert set(made.drafts(answers)) == set(answers)
