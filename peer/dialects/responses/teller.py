"""Responses as bytes: a stream of events, or one whole object."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from cortex.engine.types import Accepted, Finished, Piece

from .. import events as sse
from ..asked import Answer
from ..errors import ToldError
from .events import Event
from .reply import Head
from .stream import Manner, ResponseStream


class ResponseTeller:
    """The last event goes out with the answer's end, or with its failure; none is left to add."""

    def __init__(self, head: Head, manner: Manner, clock: Callable[[], float]) -> None:
        self._stream = ResponseStream(head, manner, clock)

    def open(self, accepted: Accepted) -> bytes:
        return _bytes(self._stream.open())

    def tell(self, event: Piece | Finished) -> bytes:
        if isinstance(event, Piece):
            return _bytes(self._stream.push(event))
        events, _ = self._stream.finish(event)
        return _bytes(events)

    def keep_alive(self) -> bytes:
        return _bytes(self._stream.keep_alive())

    def close(self) -> bytes:
        return b""

    def fail(self, error: ToldError) -> bytes:
        return _bytes(self._stream.fail(error))


def whole_reply(head: Head, manner: Manner, clock: Callable[[], float], answer: Answer) -> bytes:
    """What the stream of the same answer would have ended with."""
    stream = ResponseStream(head, manner, clock)
    stream.push(answer.whole)
    _, last = stream.finish(answer.finished)
    return msgspec.json.encode(last)


def _bytes(events: Iterable[Event]) -> bytes:
    """Types are said twice: some clients read only the one, some only the other."""
    return b"".join(sse.named(str(event.__struct_config__.tag), event) for event in events)
