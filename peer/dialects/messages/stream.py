"""The messages dialect, outwards: a streamed reply.

Message start, blocks one after the other, message delta, message stop; or an error at any point,
after which there is nothing. Pings fill silences.
"""

from __future__ import annotations

from cortex.engine.types import Accepted, Finished, Piece

from .. import events
from ..errors import ToldError, messages_envelope
from .blocks import Blocks
from .reply import ReplyHead, ending, is_cut, render_usage
from .shapes import (
    BlockDelta,
    BlockStart,
    BlockStop,
    MessageDelta,
    MessageStart,
    MessageStop,
    Ping,
    Reply,
    Stopped,
    StreamEvent,
    Usage,
)

_NAMES: dict[type[StreamEvent], str] = {
    MessageStart: "message_start",
    Ping: "ping",
    BlockStart: "content_block_start",
    BlockDelta: "content_block_delta",
    BlockStop: "content_block_stop",
    MessageDelta: "message_delta",
    MessageStop: "message_stop",
}


class MessageTeller:
    """A `Teller` of one answer."""

    def __init__(self, head: ReplyHead) -> None:
        self._head = head
        self._blocks = Blocks(hides_thinking=head.hides_thinking)

    def open(self, accepted: Accepted) -> bytes:
        """What is cached is not known yet: the last event has the counts as they were."""
        usage = Usage(accepted.prompt_tokens, 1, 0, 0)
        empty = Reply(self._head.id, self._head.model, (), usage)
        return _told(MessageStart(empty)) + self.keep_alive()

    def tell(self, event: Piece | Finished) -> bytes:
        if isinstance(event, Piece):
            told = (_told(e) for delta in event.deltas for e in self._blocks.take(delta))
            return b"".join(told)
        closing = b"".join(map(_told, self._blocks.end(is_cut=is_cut(event))))
        stopped = Stopped(*ending(event, has_calls=self._blocks.has_calls))
        return closing + _told(MessageDelta(stopped, render_usage(event.usage)))

    def keep_alive(self) -> bytes:
        return _told(Ping())

    def close(self) -> bytes:
        return _told(MessageStop())

    def fail(self, error: ToldError) -> bytes:
        return events.named("error", messages_envelope(error))


def _told(event: StreamEvent) -> bytes:
    return events.named(_NAMES[type(event)], event)
