"""Compiled grammars: shared, bounded in number, and of no effect on each other's answers."""

from __future__ import annotations

import random
from typing import Protocol

import llguidance

from cortex.engine.grammars.matchers import GrammarBroken, Matchers
from cortex.engine.grammars.tokens import grammar_tokenizer
from cortex.engine.tokenizer import Tokenizer


class Model(Protocol):
    tokenizer: Tokenizer


def matchers_of(model: Model) -> Matchers:
    return Matchers(grammar_tokenizer(model.tokenizer))


def test_only_the_grammars_used_last_stay_compiled(model: Model) -> None:
    kept = matchers_of(model)
    for number in range(100):
        kept.open(f'start: "{number}"\n')
    assert len(kept._compiled) == 8  # pyright: ignore[reportPrivateUsage]


def test_answers_through_one_grammar_know_nothing_of_each_other(model: Model) -> None:
    kept = matchers_of(model)
    first, second = (kept.open("start: /ab*c/\n") for _ in range(2))
    first.take(list(b"abb"))
    assert second.mask() == kept.open("start: /ab*c/\n").mask()
    assert first.mask() != second.mask()


def test_what_others_wore_out_an_answer_finds_again(model: Model) -> None:
    """Every walk through this expression finds states that no other has found."""
    limits = llguidance.LLParserLimits(max_lexer_states=1_000, verbose_errors=False)
    kept = Matchers(grammar_tokenizer(model.tokenizer), limits)
    choices = random.Random(1)
    broken_at: list[int] = []
    for answer in [kept.open("start: /(a|b)*a(a|b){25}/\n") for _ in range(3)]:
        for number in range(4_000):
            try:
                answer.mask()
            except GrammarBroken:
                broken_at.append(number)
                break
            answer.take([choices.choice(b"ab")])
    # Alone each of them comes far; the others would fail at once where the first has failed.
    assert min(broken_at) > 100
