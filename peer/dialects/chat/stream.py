"""The chat-completions dialect as a stream: chunks in the order that accumulators rely on.

A role for each choice, then its reasoning, words and calls as they come, one finish reason, and at
the end what it cost, where that was asked for.
"""

from __future__ import annotations

from typing import Any

from cortex.engine.types import (
    Accepted,
    Delta,
    Finished,
    Piece,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallArguments,
    ToolCallBegin,
    ToolCallEnd,
)

from .. import events
from ..completed import finish_reason, render_usage
from ..errors import ToldError, openai_envelope
from ..usage import UsageTally
from .reply import ReplyHead, render_call, render_logprobs


class ChatTeller:
    """With `tells_tokens` there is a chunk for every piece that tells of tokens, silent or not."""

    def __init__(self, head: ReplyHead, num_choices: int, *, tells_tokens: bool) -> None:
        self._head = head
        self._num_choices = num_choices
        self._tells_tokens = tells_tokens
        self._tally = UsageTally(num_choices)
        self._calling: set[int] = set()
        # By choice: the call of a custom tool that is still coming.
        self._custom: dict[int, tuple[ToolCallBegin, list[str]]] = {}

    def open(self, accepted: Accepted) -> bytes:
        role = {"role": "assistant", "content": ""}
        return b"".join(self._chunk(index, role) for index in range(self._num_choices))

    def tell(self, event: Piece | Finished) -> bytes:
        return self._tell_piece(event) if isinstance(event, Piece) else self._finish(event)

    def keep_alive(self) -> bytes:
        return events.KEEP_ALIVE

    def close(self) -> bytes:
        if not self._head.include_usage:
            return events.DONE
        usage: dict[str, Any] = {"choices": [], "usage": render_usage(self._tally.total)}
        return events.data(self._head.object("chat.completion.chunk") | usage) + events.DONE

    def fail(self, error: ToldError) -> bytes:
        return events.data(openai_envelope(error)) + events.DONE

    def _tell_piece(self, piece: Piece) -> bytes:
        """A chunk for each delta; what is told of tokens rides in the first."""
        told = [plain for d in piece.deltas if (plain := self._render(d, piece.choice)) is not None]
        if not self._tells_tokens:
            return b"".join(self._chunk(piece.choice, delta) for delta in told)
        extras: dict[str, Any] = {"logprobs": render_logprobs(piece.logprobs)}
        if self._head.wants_token_ids:
            extras["token_ids"] = list(piece.token_ids)
        if not told and not piece.logprobs and not self._head.wants_token_ids:
            return b""
        # An empty delta, for a token's place may be before, or behind, the words.
        first, *others = told or [{}]
        chunks = [self._chunk(piece.choice, first, **extras)]
        return b"".join(chunks + [self._chunk(piece.choice, delta) for delta in others])

    def _finish(self, finished: Finished) -> bytes:
        self._tally.add(finished)
        has_calls = finished.choice in self._calling
        reason = finish_reason(finished.reason, has_calls=has_calls)
        return self._chunk(finished.choice, {}, finish_reason=reason)

    def _render(self, delta: Delta, choice: int) -> dict[str, Any] | None:
        """What a delta says in this dialect; the end of a call says nothing."""
        match delta:
            case TextDelta():
                return {"content": delta.text}
            case ReasoningDelta():
                return {"reasoning_content": delta.text}
            case ToolCallBegin():
                return self._begin_call(delta, choice)
            case ToolCallArguments():
                return self._add_to_call(delta, choice)
            case ToolCallEnd():
                return self._end_call(choice)

    def _begin_call(self, begin: ToolCallBegin, choice: int) -> dict[str, Any] | None:
        self._calling.add(choice)
        if begin.name in self._head.custom_names:
            self._custom[choice] = (begin, [])
            return None
        call = render_call(self._head, ToolCall(begin.id, begin.name, ""))
        return {"tool_calls": [{"index": begin.index} | call]}

    def _add_to_call(self, arguments: ToolCallArguments, choice: int) -> dict[str, Any] | None:
        if choice in self._custom:
            self._custom[choice][1].append(arguments.text)
            return None
        piece = {"index": arguments.index, "function": {"arguments": arguments.text}}
        return {"tool_calls": [piece]}

    def _end_call(self, choice: int) -> dict[str, Any] | None:
        """A custom tool's text is told when it is whole: until then it is JSON."""
        if choice not in self._custom:
            return None
        begin, pieces = self._custom.pop(choice)
        call = render_call(self._head, ToolCall(begin.id, begin.name, "".join(pieces)))
        return {"tool_calls": [{"index": begin.index} | call]}

    def _chunk(self, index: int, delta: dict[str, Any], **more: Any) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None} | more
        chunk = self._head.object("chat.completion.chunk") | {"choices": [choice]}
        # Asked for, the key is in every chunk, null until the last; not asked for, it is nowhere.
        return events.data(chunk | {"usage": None} if self._head.include_usage else chunk)
