"""One answer as it arrives: what came, how it ended, how long it took.

It reads events and calls back with what a person could be shown; it prints nothing and knows no
peer. An interrupted answer is an answer too: what had come is kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Protocol

from cortex.engine.types import (
    Accepted,
    Event,
    Finished,
    FinishReason,
    ImageTokens,
    Stage,
    TextDelta,
    Usage,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """`time_to_first_token_s` and `tokens_per_s` are None where too little came to tell."""

    text: str
    finish_reason: FinishReason
    usage: Usage
    images: tuple[ImageTokens, ...]
    time_to_first_token_s: float | None
    tokens_per_s: float | None


class Listener(Protocol):
    """Who is told while an answer arrives."""

    def waiting(self, stage: Stage) -> None: ...

    def accepted(self, accepted: Accepted) -> None: ...

    def text(self, piece: str) -> None: ...


def receive(
    events: Generator[Event], listener: Listener, clock: Callable[[], float]
) -> Answer:
    """Take an answer in to its end, or to the KeyboardInterrupt that stops it."""
    arriving = _Arriving(asked_s=clock())
    finish_reason: FinishReason = "cancelled"
    with contextlib.suppress(KeyboardInterrupt), contextlib.closing(events):
        for event in events:
            match event:
                case Stage():
                    listener.waiting(event)
                case Accepted():
                    arriving.accepted = event
                    listener.accepted(event)
                case TextDelta():
                    arriving.add(event, clock())
                    listener.text(event.text)
                case Finished():
                    finish_reason = event.reason
                    arriving.usage = event.usage
    return arriving.answer(finish_reason)


@dataclass(slots=True)
class _Arriving:
    """What has come so far."""

    asked_s: float
    accepted: Accepted | None = None
    usage: Usage | None = None
    pieces: list[str] = field(default_factory=list[str])
    num_tokens: int = 0
    first_s: float | None = None
    last_s: float = 0.0

    def add(self, delta: TextDelta, now_s: float) -> None:
        if self.first_s is None:
            self.first_s = now_s
        self.last_s = now_s
        self.pieces.append(delta.text)
        self.num_tokens += len(delta.token_ids)

    def answer(self, finish_reason: FinishReason) -> Answer:
        accepted = self.accepted or Accepted(0, (), 0)
        usage = self.usage or Usage(accepted.prompt_tokens, self.num_tokens)
        return Answer(
            text="".join(self.pieces),
            finish_reason=finish_reason,
            usage=usage,
            images=accepted.images,
            time_to_first_token_s=None if self.first_s is None else self.first_s - self.asked_s,
            tokens_per_s=self._tokens_per_s(usage),
        )

    def _tokens_per_s(self, usage: Usage) -> float | None:
        # The first token ends the wait; the rate is that of the tokens after it.
        if self.first_s is None or usage.completion_tokens < 2 or self.last_s <= self.first_s:
            return None
        return (usage.completion_tokens - 1) / (self.last_s - self.first_s)
