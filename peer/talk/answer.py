"""One answer as it arrives: what came, how it ended, how long it took.

It reads events and calls back with what a person could be shown; it prints nothing and knows no
peer. An interrupted answer is an answer too: what had come is kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Protocol

from cortex.engine.stream import (
    Accepted,
    Began,
    Event,
    Finished,
    Piece,
    ReasoningDelta,
    Stage,
    TextDelta,
    Usage,
)
from cortex.engine.types import FinishReason, ImageTokens


@dataclass(frozen=True, slots=True)
class Answer:
    """What is None was not told, or too little came to tell: an answer may be cut anywhere."""

    text: str
    reasoning: str
    finish_reason: FinishReason
    prompt_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None
    cached_tokens: int
    images: tuple[ImageTokens, ...]
    time_to_first_token_s: float | None
    tokens_per_s: float | None


class Listener(Protocol):
    """Who is told while an answer arrives."""

    def waiting(self, stage: Stage) -> None: ...

    def accepted(self, accepted: Accepted) -> None: ...

    def reasoning(self, piece: str) -> None: ...

    def text(self, piece: str) -> None: ...


def receive(
    events: Generator[Event], listener: Listener, arriving: Arriving, clock: Callable[[], float]
) -> Answer:
    """Take an answer in to its end, or to the KeyboardInterrupt that stops it. What came before an
    error is in `arriving`.
    """
    with contextlib.suppress(KeyboardInterrupt), contextlib.closing(events):
        for event in events:
            arriving.take(event, clock)
            match event:
                case Stage():
                    listener.waiting(event)
                case Accepted():
                    listener.accepted(event)
                case Piece():
                    _tell(event, listener)
                case _:
                    pass
    return arriving.answer()


def _tell(piece: Piece, listener: Listener) -> None:
    for delta in piece.deltas:
        if isinstance(delta, ReasoningDelta):
            listener.reasoning(delta.text)
        elif isinstance(delta, TextDelta):
            listener.text(delta.text)


@dataclass(slots=True)
class Arriving:
    """What has come so far; without an end it counts as stopped."""

    asked_s: float
    accepted: Accepted | None = None
    usage: Usage | None = None
    finish_reason: FinishReason = "cancelled"
    texts: list[str] = field(default_factory=list[str])
    thoughts: list[str] = field(default_factory=list[str])
    num_tokens: int = 0
    first_s: float | None = None
    last_s: float = 0.0

    def take(self, event: Event, clock: Callable[[], float]) -> None:
        match event:
            case Accepted():
                self.accepted = event
            case Piece():
                self._add(event, clock())
            case Finished():
                self.finish_reason, self.usage = event.reason, event.usage
            case Stage() | Began():
                pass

    def _add(self, piece: Piece, now_s: float) -> None:
        if self.first_s is None:
            self.first_s = now_s
        self.last_s = now_s
        self.texts += [d.text for d in piece.deltas if isinstance(d, TextDelta)]
        self.thoughts += [d.text for d in piece.deltas if isinstance(d, ReasoningDelta)]
        self.num_tokens += len(piece.token_ids)

    def answer(self) -> Answer:
        usage, accepted = self.usage, self.accepted
        prompt_tokens = accepted.prompt_tokens if accepted else None
        # A peer over HTTP sends text without its tokens; its count comes with the end, or not.
        num_tokens = self.num_tokens or (0 if self.first_s is None else None)
        return Answer(
            text="".join(self.texts),
            reasoning="".join(self.thoughts),
            finish_reason=self.finish_reason,
            prompt_tokens=usage.prompt_tokens if usage else prompt_tokens,
            completion_tokens=usage.completion_tokens if usage else num_tokens,
            reasoning_tokens=usage.reasoning_tokens if usage else None,
            cached_tokens=usage.cached_tokens if usage else 0,
            images=accepted.images if accepted else (),
            time_to_first_token_s=None if self.first_s is None else self.first_s - self.asked_s,
            tokens_per_s=self._tokens_per_s(usage.completion_tokens if usage else num_tokens),
        )

    def _tokens_per_s(self, num_tokens: int | None) -> float | None:
        # The first token ends the wait; the rate is that of the tokens after it.
        if self.first_s is None or not num_tokens or self.last_s <= self.first_s:
            return None
        return (num_tokens - 1) / (self.last_s - self.first_s) if num_tokens > 1 else None
