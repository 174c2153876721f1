"""Answers taken apart, and put together again as far as the pieces allow."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

import pytest

from cortex.engine.parsers.reply import ReplyParser
from cortex.engine.stream import Delta, ReasoningDelta, TextDelta, ToolCallArguments
from cortex.engine.types import ReplyFormat

Parse = Callable[..., list[Delta]]


def _key(delta: Delta) -> tuple[object, ...]:
    if isinstance(delta, ReasoningDelta | TextDelta):
        return (type(delta),)
    if isinstance(delta, ToolCallArguments):
        return (type(delta), delta.index)
    return (delta,)


def _melted(deltas: Iterable[Delta]) -> list[Delta]:
    melted: list[Delta] = []
    for _, group in itertools.groupby(deltas, _key):
        first, *more = group
        match first:
            case ReasoningDelta():
                texts = [first, *(d for d in more if isinstance(d, ReasoningDelta))]
                melted.append(ReasoningDelta("".join(d.text for d in texts)))
            case TextDelta():
                words = [first, *(d for d in more if isinstance(d, TextDelta))]
                melted.append(TextDelta("".join(d.text for d in words)))
            case ToolCallArguments():
                pieces = [first, *(d for d in more if isinstance(d, ToolCallArguments))]
                joined = "".join(d.text for d in pieces)
                melted.append(ToolCallArguments(first.index, joined))
            case _:
                melted += [first, *more]
    return melted


@pytest.fixture(scope="session")
def parse() -> Parse:
    """All deltas of an answer, whole or in pieces, with neighbours of a kind joined."""

    def parse(
        form: ReplyFormat, answer: str | Sequence[str], *, is_cut: bool = False
    ) -> list[Delta]:
        parser = ReplyParser(form, lambda index: f"id{index}")
        pieces = [answer] if isinstance(answer, str) else answer
        deltas = [delta for piece in pieces for delta in parser.push(piece)]
        return _melted([*deltas, *parser.end(is_cut=is_cut)])

    return parse
