"""The messages dialect, outwards: a whole reply, or a stream of it.

Message start, blocks one after the other, message delta, message stop; or an error at any point,
after which there is nothing. Pings fill silences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from cortex.engine.stream import Accepted, Finished, Piece, Usage

from .. import events
from ..asked import Answer
from ..errors import ToldError, messages_envelope
from .blocks import Blocks, Json


@dataclass(frozen=True, slots=True)
class ReplyHead:
    """What is known of a reply before its answer: `model` is the name that was asked for."""

    id: str
    model: str
    hides_thinking: bool = False


class MessageTeller:
    """A `Teller` of one answer."""

    tells_tokens = False
    told_in_stream = ()

    def __init__(self, head: ReplyHead) -> None:
        self.head = head
        self._blocks = Blocks(hides_thinking=head.hides_thinking)

    def whole(self, answers: Sequence[Answer]) -> bytes:
        (answer,) = answers
        for _ in self._take(answer.whole):
            pass
        *_, last = self._take(answer.finished)
        ending = last["delta"] | {"usage": last["usage"]}
        return msgspec.json.encode(self._message(content=self._blocks.content, **ending))

    def open(self, accepted: Accepted) -> bytes:
        """What is cached is not known yet: the last event has the counts as they were."""
        usage = _render_usage(Usage(accepted.prompt_tokens, 1))
        empty = self._message(content=[], stop_reason=None, stop_sequence=None, usage=usage)
        return _told({"type": "message_start", "message": empty}) + self.keep_alive()

    def tell(self, event: Piece | Finished) -> bytes:
        return b"".join(map(_told, self._take(event)))

    def keep_alive(self) -> bytes:
        return _told({"type": "ping"})

    def close(self) -> bytes:
        return _told({"type": "message_stop"})

    def fail(self, error: ToldError) -> bytes:
        return events.named("error", messages_envelope(error))

    def _take(self, event: Piece | Finished) -> Iterator[Json]:
        if isinstance(event, Piece):
            for delta in event.deltas:
                yield from self._blocks.take(delta)
            return
        yield from self._blocks.end(is_cut=event.reason in ("length", "context"))
        reason, sequence = _ending(event, has_calls=self._blocks.has_calls)
        usage = _render_usage(event.usage)
        usage["output_tokens_details"] = {"thinking_tokens": event.usage.reasoning_tokens}
        stopped = {"stop_reason": reason, "stop_sequence": sequence}
        yield {"type": "message_delta", "delta": stopped, "usage": usage}

    def _message(self, **more: Any) -> Json:
        head = {"id": self.head.id, "type": "message", "role": "assistant"}
        return head | {"model": self.head.model} | more


def _told(event: Json) -> bytes:
    return events.named(event["type"], event)


def _ending(finished: Finished, *, has_calls: bool) -> tuple[str, str | None]:
    """Why the answer ended, and the client's own stop text where that did it."""
    if finished.reason == "length":
        return "max_tokens", None
    if finished.reason == "context":
        return "model_context_window_exceeded", None
    if has_calls:
        return "tool_use", None
    if finished.stop_text is not None:
        return "stop_sequence", finished.stop_text
    return "end_turn", None


def _render_usage(usage: Usage) -> Json:
    """`input_tokens` counts what did not come from the cache; `output_tokens` all that was made."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
    }
