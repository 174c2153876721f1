"""The choices of a request, gathered until each has come to its end. Pure; it knows no dialect."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from cortex.engine.errors import EngineFailed
from cortex.engine.stream import Event, Finished, Piece

from ..deltas import melted
from ..dialects.asked import Answer


async def gather(events: AsyncGenerator[Event], num_answers: int, model: str) -> list[Answer]:
    """All of them, in order.

    Raises EngineFailed where one has no end.
    """
    pieces: list[list[Piece]] = [[] for _ in range(num_answers)]
    answers: dict[int, Answer] = {}
    async for event in events:
        if isinstance(event, Piece):
            pieces[event.choice].append(event)
        elif isinstance(event, Finished):
            answers[event.choice] = Answer(_joined(pieces[event.choice], event.choice), event)
    if len(answers) < num_answers:
        raise EngineFailed(f"the answer of '{model}' broke off", "send it again")
    return [answers[choice] for choice in range(num_answers)]


def _joined(pieces: Sequence[Piece], choice: int) -> Piece:
    return Piece(
        melted([delta for piece in pieces for delta in piece.deltas]),
        tuple(token_id for piece in pieces for token_id in piece.token_ids),
        tuple(logprob for piece in pieces for logprob in piece.logprobs),
        choice,
    )
