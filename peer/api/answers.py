"""The choices of a request, gathered until each has come to its end. Pure; it knows no dialect."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from cortex.engine.errors import EngineFailed
from cortex.engine.types import Delta, Event, Finished, Piece, TokenLogprob

from ..deltas import melted
from ..dialects.asked import Answer


@dataclass(slots=True)
class _Coming:
    deltas: list[Delta] = field(default_factory=list[Delta])
    token_ids: list[int] = field(default_factory=list[int])
    logprobs: list[TokenLogprob] = field(default_factory=list[TokenLogprob])

    def add(self, piece: Piece) -> None:
        self.deltas.extend(piece.deltas)
        self.token_ids.extend(piece.token_ids)
        self.logprobs.extend(piece.logprobs)

    def finish(self, finished: Finished) -> Answer:
        whole = Piece(
            melted(self.deltas), tuple(self.token_ids), tuple(self.logprobs), finished.choice
        )
        return Answer(whole, finished)


async def gather(events: AsyncGenerator[Event], num_answers: int, model: str) -> list[Answer]:
    """All of them, in order.

    Raises EngineFailed where one has no end.
    """
    coming = [_Coming() for _ in range(num_answers)]
    answers: dict[int, Answer] = {}
    async for event in events:
        if isinstance(event, Piece):
            coming[event.choice].add(event)
        elif isinstance(event, Finished):
            answers[event.choice] = coming[event.choice].finish(event)
    if len(answers) < num_answers:
        raise EngineFailed(f"the answer of '{model}' broke off", "send it again")
    return [answers[choice] for choice in range(num_answers)]
