"""What may come next: reasoning under a budget, and tokens that say more than one thing."""

from __future__ import annotations

from typing import Any, Protocol

import pytest

from cortex.engine.grammars.guide import Allowed, Forced, Free, Guide, Next, Over, needs_guide
from cortex.engine.tokenizer import Tokenizer
from cortex.engine.types import Grammar, Prompt, ReasoningWish, ReplyFormat

_IM_END, _THINK, _THINK_END = 258, 266, 267
_YES = Grammar("choice", '["yes"]')
_OPEN, _MAY_OPEN = ReplyFormat("open"), ReplyFormat("may_open")


class Answered(Protocol):
    words: str
    reasoning: str
    finish: str
    token_ids: tuple[int, ...]
    usage: Any


class Model(Protocol):
    tokenizer: Tokenizer

    def prompt(self, reply: ReplyFormat = ..., seed: int = ..., **asked: Any) -> Prompt: ...
    def guide(self, prompt: Prompt) -> Guide: ...
    def answer(self, prompt: Prompt) -> Answered: ...


def allowed_ids(coming: Next) -> list[int]:
    assert isinstance(coming, Allowed)
    bits = int.from_bytes(coming.mask, "little")
    return [i for i in range(len(coming.mask) * 8) if bits >> i & 1]


def told(guide: Guide, token_ids: list[int]) -> Next:
    for token_id in token_ids:
        guide.take(token_id)
    return guide.next()


@pytest.mark.parametrize("budget_tokens", [0, 1, 7, 30])
@pytest.mark.parametrize("grammar", [None, _YES])
def test_at_its_budget_reasoning_is_closed_and_the_answer_begins(
    model: Model, budget_tokens: int, grammar: Grammar | None
) -> None:
    wish = ReasoningWish(budget_tokens=budget_tokens)
    answered = model.answer(model.prompt(_OPEN, 3, reasoning=wish, grammar=grammar, max_tokens=90))
    closing = model.tokenizer.encode("\n</think>\n\n")
    begun = answered.token_ids[budget_tokens : budget_tokens + len(closing)]
    assert list(begun) == closing
    assert len(answered.reasoning) <= budget_tokens
    assert answered.words.startswith("yes" if grammar else "")
    # The mark that ends it is reasoning too.
    assert answered.usage.reasoning_tokens == budget_tokens + 2


def test_reasoning_that_ends_in_time_is_left_alone(model: Model) -> None:
    prompt = model.prompt(_OPEN, reasoning=ReasoningWish(budget_tokens=5))
    guide = model.guide(prompt)
    assert told(guide, [97, 97, _THINK_END]) == Free(may_end=True)
    assert told(guide, [97] * 10) == Free(may_end=True)
    assert guide.is_free_for_good


def test_a_block_that_the_model_opens_itself_is_counted_from_there(model: Model) -> None:
    prompt = model.prompt(_MAY_OPEN, reasoning=ReasoningWish(budget_tokens=2))
    guide = model.guide(prompt)
    assert told(guide, [_THINK, 97]) == Free(may_end=True)
    assert told(guide, [98]) == Forced(10)


def test_a_budget_without_reasoning_asks_nothing(model: Model) -> None:
    wish = ReasoningWish(budget_tokens=2)
    assert not needs_guide(model.prompt(ReplyFormat("none"), reasoning=wish))
    assert needs_guide(model.prompt(_OPEN, reasoning=wish))
    assert not needs_guide(model.prompt(_OPEN))


def test_an_answer_that_owes_words_does_not_end_in_its_reasoning(model: Model) -> None:
    guide = model.guide(model.prompt(_OPEN, grammar=_YES))
    assert guide.next() == Free(may_end=False)
    assert told(guide, [97, 98]) == Free(may_end=False)


def test_a_model_may_begin_to_reason_or_to_answer(model: Model) -> None:
    guide = model.guide(model.prompt(_MAY_OPEN, grammar=_YES))
    assert allowed_ids(guide.next()) == [ord("y"), _THINK]
    assert told(guide, [_THINK]) == Free(may_end=False)
    guide = model.guide(model.prompt(_MAY_OPEN, grammar=_YES))
    assert allowed_ids(told(guide, [ord("y")])) == [ord("e")]


def test_the_mark_is_found_however_it_is_spelt(model: Model) -> None:
    for spelling in ([_THINK_END], list(b"</think>"), list(b"a</thi</think>")):
        guide = model.guide(model.prompt(_OPEN, grammar=_YES))
        assert allowed_ids(told(guide, spelling)) == [10, ord("y")]


def test_a_control_token_inside_of_a_mark_does_not_count(model: Model) -> None:
    """Its text is not shown: the mark is whole to whoever reads the answer."""
    guide = model.guide(model.prompt(_OPEN, grammar=_YES))
    assert allowed_ids(told(guide, [*b"</thi", 257, *b"nk>"])) == [10, ord("y")]


def test_line_breaks_behind_the_mark_are_the_marks_own_but_not_for_ever(model: Model) -> None:
    guide = model.guide(model.prompt(_OPEN, grammar=_YES))
    assert allowed_ids(told(guide, [_THINK_END, 10])) == [10, ord("y")]
    assert allowed_ids(told(guide, [10])) == [ord("y")]
    assert isinstance(told(guide, list(b"yes")), Over)


def test_the_end_may_come_only_where_the_form_may_end(model: Model) -> None:
    guide = model.guide(model.prompt(grammar=Grammar("regex", "ab?")))
    assert allowed_ids(guide.next()) == [ord("a")]
    assert allowed_ids(told(guide, [ord("a")])) == [ord("b"), 256, _IM_END]
    endless = model.guide(model.prompt(grammar=Grammar("regex", "ab?"), ignore_eos=True))
    assert allowed_ids(told(endless, [ord("a")])) == [ord("b")]


def test_no_form_reaches_a_control_token(model: Model) -> None:
    guide = model.guide(model.prompt(grammar=Grammar("regex", "(?s:.*)"), ignore_eos=True))
    marks = {262, 263, 264, 265, _THINK, _THINK_END}
    assert set(allowed_ids(guide.next())) <= {*range(256), *marks}


def test_text_that_reads_like_a_control_token_is_written_as_text(model: Model) -> None:
    answered = model.answer(model.prompt(grammar=Grammar("choice", '["<|im_end|>"]')))
    assert answered.words == "<|im_end|>"
    assert list(answered.token_ids) == list(b"<|im_end|>")
