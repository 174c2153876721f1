"""What a client has of an answer, so that another host can go on where one stopped.

Fed with the events of one host after the other, it gives those that the client is told, each once.
A choice's last piece waits for its end: whoever goes on from the tokens says it again. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from cortex.engine.errors import EngineFailed
from cortex.engine.stream import Accepted, Began, Event, Finished, Piece, Resume, Vector
from cortex.engine.types import ChatRequest


class Transcript:
    """Of one request. `request` is what its next host is sent."""

    def __init__(self, request: ChatRequest) -> None:
        self.request = request
        self.accepted: Accepted | None = None
        self.computes_in = ""
        self.num_tokens = 0
        self._token_ids: list[list[int] | None] = [[] for _ in range(request.num_choices)]
        self._is_limited_by_context = False
        self._last_pieces: dict[int, Piece] = {}
        self._has_told = False

    @property
    def is_whole(self) -> bool:
        return all(token_ids is None for token_ids in self._token_ids)

    @property
    def most_tokens(self) -> int:
        """Of the longest of the choices that have not ended."""
        return max((len(ids) for ids in self._token_ids if ids is not None), default=0)

    @property
    def has_begun(self) -> bool:
        """Whether the client has something that the next host must not say again."""
        return self._has_told

    def resume(self) -> Resume | None:
        """What the next host is told of the answer, whose words it then leaves out; None to begin.

        What this host said and nobody has been told is forgotten.
        """
        self._last_pieces.clear()
        if not self._has_told or self.accepted is None:
            return None
        given = tuple(None if ids is None else tuple(ids) for ids in self._token_ids)
        return Resume(self.accepted.prompt_hash, self.computes_in, given)

    def hear(self, event: Event | Vector) -> Iterator[Event | Vector]:
        """What the client is told now.

        Raises EngineFailed for an event of a choice that is not open.
        """
        if isinstance(event, Piece | Finished) and not self._is_open(event.choice):
            raise EngineFailed("the host told of an answer that nobody waits for", "send it again")
        match event:
            case Accepted():
                yield from self._accept(event)
            case Began():
                self.computes_in = event.computes_in
                yield event
            case Piece(is_last=True):
                self._last_pieces[event.choice] = event
            case Piece():
                yield self._tell(event)
            case Finished():
                yield from self._finish(event)
            case _:
                yield event

    def _is_open(self, choice: int) -> bool:
        if self.accepted is None or not 0 <= choice < len(self._token_ids):
            return False
        return self._token_ids[choice] is not None

    def _accept(self, accepted: Accepted) -> Iterator[Accepted]:
        """The first one only: a client's headers go out with it."""
        if self.accepted is None:
            yield accepted
        if not self._has_told:  # whoever goes on is bound by what this one makes of the request
            self.accepted = accepted

    def _tell(self, piece: Piece) -> Piece:
        if not self._has_told:
            self._has_told = True
            self._fix_length()
        token_ids = self._token_ids[piece.choice]
        if token_ids is not None:
            token_ids.extend(piece.token_ids)
        self.num_tokens += len(piece.token_ids)
        return piece

    def _fix_length(self) -> None:
        """The answer may become as long as its first host would have let it, wherever it goes on,
        and ends at that length for the same reason.
        """
        accepted, wanted = self.accepted, self.request.max_tokens
        if accepted is not None and (wanted is None or wanted > accepted.max_tokens):
            self._is_limited_by_context = True
            self.request = replace(self.request, max_tokens=accepted.max_tokens)

    def _finish(self, finished: Finished) -> Iterator[Event]:
        last = self._last_pieces.pop(finished.choice, None)
        if last is not None:
            yield self._tell(last)
        self._has_told = True
        self._token_ids[finished.choice] = None
        if finished.reason == "length" and self._is_limited_by_context:
            finished = replace(finished, reason="context")
        yield finished
