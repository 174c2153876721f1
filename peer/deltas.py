"""Deltas of an answer joined: neighbours into one, or all of them into what they say."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from cortex.engine.stream import (
    Delta,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallBegin,
    ToolCallEnd,
)
from cortex.engine.types import ToolCall

_Said = ReasoningDelta | TextDelta | ToolCallArguments


def melted(deltas: Sequence[Delta]) -> tuple[Delta, ...]:
    """The same with neighbours joined that a client would join anyway."""
    if len(deltas) < 2:  # nearly always: a reader that keeps up reads token by token
        return tuple(deltas)
    return tuple(
        delta for _, run in itertools.groupby(deltas, _key) for delta in _melted_run(tuple(run))
    )


def _key(delta: Delta) -> tuple[type[Delta], int]:
    return type(delta), getattr(delta, "index", 0)


def _melted_run(deltas: tuple[Delta, ...]) -> tuple[Delta, ...]:
    """Those of one run are all of one kind."""
    first = deltas[0]
    if not isinstance(first, _Said):
        return deltas
    text = "".join(delta.text for delta in deltas if isinstance(delta, _Said))
    return (replace(first, text=text),)


@dataclass(frozen=True, slots=True)
class Said:
    """What deltas say together."""

    reasoning: str
    text: str
    calls: tuple[ToolCall, ...]


def said(deltas: Iterable[Delta]) -> Said:
    reasoning: list[str] = []
    text: list[str] = []
    begun: list[tuple[ToolCallBegin, list[str]]] = []
    for delta in deltas:
        match delta:
            case ReasoningDelta():
                reasoning.append(delta.text)
            case TextDelta():
                text.append(delta.text)
            case ToolCallBegin():
                begun.append((delta, []))
            case ToolCallArguments():
                begun[-1][1].append(delta.text)
            case ToolCallEnd():
                pass
    calls = (ToolCall(begin.id, begin.name, "".join(pieces)) for begin, pieces in begun)
    return Said("".join(reasoning), "".join(text), tuple(calls))
