"""The chat-completions dialect, outwards: whole replies, and chunks in the order that accumulators
rely on.

A role for each choice, then its reasoning, words and calls as they come, one finish reason, and at
the end what it cost, where that was asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from cortex.engine.stream import (
    Accepted,
    Delta,
    Finished,
    Piece,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallBegin,
    ToolCallEnd,
)
from cortex.engine.types import TokenLogprob, ToolCall

from ...deltas import said
from ..asked import Answer
from ..mended_calls import MendedCalls
from ..offered_tools import custom_text
from ..openai_replies import OpenAITeller, ReplyHead, finish_reason, render_logprob


class ChatTeller(OpenAITeller):
    """With `tells_tokens` there is a chunk for every piece that tells of tokens, silent or not."""

    def __init__(self, head: ReplyHead, num_choices: int, *, tells_tokens: bool) -> None:
        super().__init__(head, "chat.completion.chunk", num_choices, tells_tokens=tells_tokens)
        self._mended = defaultdict[int, MendedCalls](lambda: MendedCalls(head.custom_names))
        self._calling: set[int] = set()
        # By choice: the call of a custom tool that is still coming.
        self._custom: dict[int, tuple[ToolCallBegin, list[str]]] = {}

    def whole(self, answers: Sequence[Answer]) -> bytes:
        choices = [self._whole_choice(answer) for answer in answers]
        more = {"system_fingerprint": self.head.fingerprint or None}
        return self.whole_reply("chat.completion", choices, [a.finished for a in answers], **more)

    def _whole_choice(self, answer: Answer) -> dict[str, Any]:
        whole, mended = answer.whole, self._mended[answer.whole.choice]
        all_said = said([*mended.take(whole.deltas), *mended.end(answer.finished.reason)])
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if all_said.calls and not all_said.text else all_said.text,
            "refusal": None,
        }
        if all_said.reasoning:
            message["reasoning_content"] = all_said.reasoning
        if all_said.calls:
            message["tool_calls"] = [self._call(call) for call in all_said.calls]
        reason = finish_reason(answer.finished.reason, has_calls=bool(all_said.calls))
        choice = {"index": whole.choice, "finish_reason": reason, "message": message}
        return choice | self._of_tokens(whole)

    def open(self, accepted: Accepted) -> bytes:
        role = {"role": "assistant", "content": ""}
        return b"".join(self._delta(index, role) for index in range(self.num_choices))

    def tell(self, event: Piece | Finished) -> bytes:
        return self._tell_piece(event) if isinstance(event, Piece) else self._finish(event)

    def _tell_piece(self, piece: Piece) -> bytes:
        """A chunk for each delta; what is told of tokens rides in the first."""
        told = self._rendered(self._mended[piece.choice].take(piece.deltas), piece.choice)
        if not self.tells_tokens:
            return b"".join(self._delta(piece.choice, delta) for delta in told)
        if not told and not piece.logprobs and not self.head.wants_token_ids:
            return b""
        # An empty delta, for a token's place may be before, or behind, the words.
        first, *others = told or [{}]
        chunks = [self._delta(piece.choice, first, **self._of_tokens(piece))]
        return b"".join(chunks + [self._delta(piece.choice, delta) for delta in others])

    def _finish(self, finished: Finished) -> bytes:
        self.tally.add(finished)
        choice = finished.choice
        told = self._rendered(self._mended[choice].end(finished.reason), choice)
        reason = finish_reason(finished.reason, has_calls=choice in self._calling)
        chunks = [self._delta(choice, delta) for delta in told]
        return b"".join([*chunks, self._delta(choice, {}, finish_reason=reason)])

    def _rendered(self, deltas: Iterable[Delta], choice: int) -> list[dict[str, Any]]:
        return [told for delta in deltas if (told := self._render(delta, choice)) is not None]

    def _render(self, delta: Delta, choice: int) -> dict[str, Any] | None:
        """What a delta says in this dialect; the end of a call says nothing.

        A custom tool's text is told when it is whole: until then it is JSON.
        """
        match delta:
            case TextDelta():
                return {"content": delta.text}
            case ReasoningDelta():
                return {"reasoning_content": delta.text}
            case ToolCallBegin():
                self._calling.add(choice)
                if delta.name in self.head.custom_names:
                    self._custom[choice] = (delta, [])
                    return None
                return self._begun(delta, "")
            case ToolCallArguments() if choice in self._custom:
                self._custom[choice][1].append(delta.text)
                return None
            case ToolCallArguments():
                piece = {"index": delta.index, "function": {"arguments": delta.text}}
                return {"tool_calls": [piece]}
            case ToolCallEnd():
                begin, pieces = self._custom.pop(choice, (None, ()))
                return begin and self._begun(begin, "".join(pieces))

    def _begun(self, begin: ToolCallBegin, arguments: str) -> dict[str, Any]:
        call = self._call(ToolCall(begin.id, begin.name, arguments))
        return {"tool_calls": [{"index": begin.index} | call]}

    def _call(self, call: ToolCall) -> dict[str, Any]:
        if call.name in self.head.custom_names:
            custom = {"name": call.name, "input": custom_text(call.arguments)}
            return {"id": call.id, "type": "custom", "custom": custom}
        function = {"name": call.name, "arguments": call.arguments}
        return {"id": call.id, "type": "function", "function": function}

    def _of_tokens(self, piece: Piece) -> dict[str, Any]:
        told: dict[str, Any] = {"logprobs": _render_logprobs(piece.logprobs)}
        return told | {"token_ids": piece.token_ids} if self.head.wants_token_ids else told

    def _delta(self, index: int, delta: dict[str, Any], **more: Any) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
        return self.chunk(choice | more)


def _render_logprobs(logprobs: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    """Null where none were asked for, or nothing came."""
    content = [render_logprob(entry) for entry in logprobs]
    return {"content": content, "refusal": None} if content else None
