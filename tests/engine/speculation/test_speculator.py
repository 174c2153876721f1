"""For whom guesses are made in a step, and how much of a step that may take."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field

from cortex.engine.cache.pages import PageAllocator
from cortex.engine.messages import Wanted
from cortex.engine.models.base import ModelShape
from cortex.engine.models.memory import AttentionShape, MemoryShape
from cortex.engine.sequence import Sequence, open_sequence
from cortex.engine.speculation.guesses import Foreseen
from cortex.engine.speculation.head import Unread
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


def answering(num_prompt: int, max_tokens: int = 99) -> Sequence:
    """One whose first token was drawn."""
    prompt = Prompt(tuple(range(num_prompt)), (), (), Sampling(seed=0), max_tokens, (), ())
    sequence = open_sequence(
        Wanted("a", 0), prompt, SHAPE,
        capacity_tokens=100_000, grid_tokens=50, now_s=0.0,
    )  # fmt: skip
    sequence.pages = PageAllocator(1000).allocate(-(-(num_prompt + max_tokens) // 16))
    sequence.num_computed = num_prompt
    sequence.append(7)
    return sequence


def speculator(drafters: list[Certain]) -> Speculator:
    def make_drafter() -> Certain:
        drafters.append(Certain())
        return drafters[-1]

    made = Speculator(make_drafter, num_slots=8, page_tokens=16)
    for _ in range(3):
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


@dataclass
class Telling:
    """A draft head of which every so many-th guess is wrong, and how long it takes for each."""

    pass_s: float
    wrong_every: int
    now_s: float = 0.0
    lengths: list[int] = field(default_factory=list[int])

    def clock(self) -> float:
        return self.now_s

    def draft(self, lengths: Mapping[Sequence, int]) -> dict[Sequence, list[int]]:
        most = max(lengths.values())
        self.lengths.append(most)
        self.now_s += most * self.pass_s
        for sequence in lengths:
            sequence.unread = Unread(sequence.num_computed, [])
        return {sequence: [self._guess() for _ in range(n)] for sequence, n in lengths.items()}

    def _guess(self) -> int:
        self.now_s += 1e-9
        return 8 if round(self.now_s * 1e9) % self.wrong_every == 0 else 7


STEP_S = 0.01


def answered(head: Telling, sequence: Sequence, made: Speculator) -> int:
    """How many tokens one more step gives an answer that says 7 for ever."""
    drafts = made.drafts([sequence]).get(sequence, [])
    num_right = next((i for i, token_id in enumerate(drafts) if token_id != 7), len(drafts))
    head_s = made._head_s  # pyright: ignore[reportPrivateUsage]
    sequence.num_computed += 1 + num_right
    for _ in range(1 + num_right):
        sequence.append(7)
    made.learn(1, len(drafts), STEP_S * (1 + 0.05 * len(drafts)) + head_s)
    return 1 + num_right


def run_alone(head: Telling, num_steps: int) -> int:
    """How many tokens so many steps of one answer give."""
    made = Speculator(None, num_slots=8, page_tokens=16, head=head, clock=head.clock)
    sequence = answering(5, max_tokens=10_000)
    sequence.unread = Unread(4, [])
    return sum(answered(head, sequence, made) for _ in range(num_steps))


def test_a_draft_head_that_is_right_is_asked_in_nearly_every_step() -> None:
    head = Telling(pass_s=0.1 * STEP_S, wrong_every=1 << 40)
    assert run_alone(head, 200) > 800
    assert len(head.lengths) > 180


def test_a_draft_head_that_is_wrong_is_tried_now_and_then_and_no_more() -> None:
    head = Telling(pass_s=0.1 * STEP_S, wrong_every=1)
    assert run_alone(head, 500) == 500
    assert len(head.lengths) < 40
    assert set(head.lengths[20:]) == {1}


def test_a_draft_head_that_takes_long_is_not_asked_though_it_is_right() -> None:
    head = Telling(pass_s=1.2 * STEP_S, wrong_every=1 << 40)
    run_alone(head, 300)
    assert len(head.lengths) < 30


def test_what_a_draft_head_took_is_taken_from_the_time_of_one_step_alone() -> None:
    """The steps behind it may be launched ahead, and nothing is drafted for those."""
    head = Telling(pass_s=1.2 * STEP_S, wrong_every=1 << 40)
    made = Speculator(None, num_slots=8, page_tokens=16, head=head, clock=head.clock)
    sequence = answering(5, max_tokens=10_000)
    sequence.unread = Unread(4, [])
    for _ in range(60):
        answered(head, sequence, made)
        for _ in range(3):
            made.learn(1, 0, STEP_S)
    assert 0 < len(head.lengths) < 12


def test_what_one_answer_tells_of_a_draft_head_is_known_of_the_next() -> None:
    head = Telling(pass_s=0.1 * STEP_S, wrong_every=1)
    made = Speculator(None, num_slots=8, page_tokens=16, head=head, clock=head.clock)
    num_asked: list[int] = []
    for _ in range(12):
        sequence = answering(5, max_tokens=10_000)
        sequence.unread = Unread(4, [])
        before = len(head.lengths)
        for _ in range(30):
            answered(head, sequence, made)
        num_asked.append(len(head.lengths) - before)
    assert num_asked[0] > 2
    assert num_asked[-3:] == [0, 0, 0]


def test_a_draft_head_that_became_good_is_asked_again() -> None:
    head = Telling(pass_s=0.1 * STEP_S, wrong_every=1)
    made = Speculator(None, num_slots=8, page_tokens=16, head=head, clock=head.clock)
    sequence = answering(5, max_tokens=10_000)
    sequence.unread = Unread(4, [])
    for _ in range(100):
        answered(head, sequence, made)
    head.wrong_every = 1 << 40
    assert sum(answered(head, sequence, made) for _ in range(400)) > 800


def test_what_a_draft_head_said_is_not_its_word_on_what_comes_after_it_let_go() -> None:
    made = Speculator(None, num_slots=8, page_tokens=16, head=Telling(0.0, wrong_every=1 << 40))
    sequence = answering(5)
    sequence.foreseen = Foreseen(0.5)
    sequence.foreseen.expect([7, 7], len(sequence.tokens), is_computed=True)

    made.drafts([sequence])

    assert sequence.unread is None
    assert not sequence.foreseen.is_computed
