"""What one request's makers leave for its reader.

A reader slower than the engine costs no more memory than the answers themselves: stages replace
each other and the pieces of a choice melt together. The tokens are kept to the end: whoever
goes on with a choice elsewhere begins after them. It knows nothing of processes or requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cortex.engine.errors import CortexError
from cortex.engine.stream import Accepted, Began, Delta, Event, Finished, Piece, Stage, Vector
from cortex.engine.types import TokenLogprob

from ..deltas import melted


@dataclass(slots=True)
class _Unread:
    """What of one choice was not read yet."""

    deltas: list[Delta] = field(default_factory=list[Delta])
    token_ids: list[int] = field(default_factory=list[int])
    logprobs: list[TokenLogprob] = field(default_factory=list[TokenLogprob])
    is_last: bool = False


class Mailbox:
    """Single reader; everything happens on one event loop.

    `given` are tokens of choices that the reader has already.
    """

    def __init__(self, given: Mapping[int, Sequence[int]] | None = None) -> None:
        self._stage: Stage | None = None
        self._accepted: Accepted | None = None
        self._began: Began | None = None
        # By choice, in the order in which something came for each.
        self._unread: dict[int, _Unread] = {}
        self._token_ids = {choice: list(ids) for choice, ids in (given or {}).items()}
        self._finished: list[Finished | Vector] = []
        self._error: CortexError | None = None
        self._filled = asyncio.Event()

    def token_ids(self, choice: int) -> tuple[int, ...]:
        """All tokens put for a choice so far: their text is the reader's, now or soon."""
        return tuple(self._token_ids.get(choice, ()))

    def put_stage(self, stage: Stage) -> None:
        self._stage = stage
        self._filled.set()

    def put_accepted(self, accepted: Accepted) -> None:
        """The prompt is known: stages of its making are over."""
        self._stage, self._accepted = None, accepted
        self._filled.set()

    def put_began(self, began: Began) -> None:
        """An engine takes the request up: the wait that a stage nobody read told of is over."""
        self._stage, self._began = None, began
        self._filled.set()

    def put_piece(self, piece: Piece) -> None:
        """A piece overtakes a stage nobody read: the wait that told of is over."""
        self._stage = None
        unread = self._unread.setdefault(piece.choice, _Unread())
        unread.deltas.extend(piece.deltas)
        unread.token_ids.extend(piece.token_ids)
        unread.logprobs.extend(piece.logprobs)
        unread.is_last |= piece.is_last
        self._token_ids.setdefault(piece.choice, []).extend(piece.token_ids)
        self._filled.set()

    def end(self, ending: Finished | Vector | CortexError) -> None:
        """Say how one choice ended, or why all of them did; nothing more counts after an error.

        A vector is its request's end.
        """
        if self._error is not None:
            return
        self._stage = None
        if isinstance(ending, CortexError):
            self._error = ending
        else:
            self._finished.append(ending)
        self._filled.set()

    async def get(self) -> Event | Vector:
        """The next thing, waiting for it.

        Raises the error that the request ended with, once the pieces before it have been read.
        """
        while True:
            await self._filled.wait()
            if self._accepted is not None:
                accepted, self._accepted = self._accepted, None
                return accepted
            if self._began is not None:
                began, self._began = self._began, None
                return began
            if self._unread:
                return self._take_piece()
            if self._stage is not None:  # it came after the piece
                stage, self._stage = self._stage, None
                return stage
            if self._finished:
                return self._finished.pop(0)
            if self._error is not None:
                raise self._error
            self._filled.clear()

    def _take_piece(self) -> Piece:
        choice = next(iter(self._unread))
        unread = self._unread.pop(choice)
        return Piece(
            melted(unread.deltas),
            tuple(unread.token_ids),
            tuple(unread.logprobs),
            choice,
            unread.is_last,
        )
