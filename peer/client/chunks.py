"""An answer, read back out of the lines of a chat-completions stream.

That dialect does not say where a call ends: it has ended when another thing comes.
"""

from __future__ import annotations

import json
from typing import Any, cast

from cortex.engine.stream import (
    Delta,
    Event,
    Finished,
    Piece,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallBegin,
    ToolCallEnd,
    Usage,
)
from cortex.engine.types import FinishReason, ScoredToken, TokenLogprob

from ..errors import AnswerBrokeOff
from ..onlooker.reading import text as text_of
from .progress import AnsweredBy, Remark, from_comment
from .told_errors import error_of

BROKE_OFF = "send the question again"


class StreamReader:
    """Lines of a chat-completions stream in, events out."""

    def __init__(self) -> None:
        self.answered_by = ""
        self._reasons: dict[int, FinishReason] = {}
        self._is_finished = False
        self._choices: dict[int, _DeltaReader] = {}

    def read_line(self, line: bytes) -> list[Event]:
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text.startswith(":"):
            return self._read_remark(from_comment(text[1:]))
        if not text.startswith("data:") or text[5:].strip() == "[DONE]":
            return []
        return self._read_chunk(load_object(text[5:].encode()))

    def _read_remark(self, remark: Remark | None) -> list[Event]:
        if isinstance(remark, AnsweredBy):
            self.answered_by = text_of(remark.peer)
            return []
        return [] if remark is None else [remark]

    def check_end(self) -> None:
        if not self._is_finished:
            raise AnswerBrokeOff("the peer's answer broke off before its end", BROKE_OFF)

    def _read_chunk(self, chunk: dict[str, Any]) -> list[Event]:
        if "error" in chunk:
            raise error_of(chunk, 0)
        events: list[Event] = []
        for choice in chunk.get("choices", ()):
            index = int(choice.get("index", 0))
            reader = self._choices.setdefault(index, _DeltaReader())
            deltas = reader.read(choice.get("delta", {}))
            logprobs = _read_logprobs(choice.get("logprobs"))
            if choice.get("finish_reason") is not None:
                reason = "length" if choice["finish_reason"] == "length" else "stop"
                self._reasons[index] = reason
                deltas += reader.end(is_whole=reason == "stop")
            if deltas or logprobs:
                events.append(Piece(tuple(deltas), (), logprobs, index))
        if chunk.get("usage") and self._reasons:
            self._is_finished = True
            events += self._endings(_read_usage(chunk["usage"]))
        return events

    def _endings(self, total: Usage) -> list[Finished]:
        """The first choice stands for the cost of all: how it is shared out is not told."""
        nothing = Usage(total.prompt_tokens, 0, total.cached_tokens)
        choices = sorted(self._reasons.items())
        return [
            Finished(reason, nothing if place else total, choice)
            for place, (choice, reason) in enumerate(choices)
        ]


class _DeltaReader:
    """Reads one choice of one stream. Raises what reading foreign JSON raises."""

    def __init__(self) -> None:
        self._open_index: int | None = None

    def read(self, delta: dict[str, Any]) -> list[Delta]:
        """What one chunk's `delta` says."""
        deltas: list[Delta] = []
        if reasoning := delta.get("reasoning_content"):
            deltas.append(ReasoningDelta(str(reasoning)))
        if text := delta.get("content"):
            deltas += [*self.end(is_whole=True), TextDelta(str(text))]
        for call in delta.get("tool_calls") or ():
            deltas += self._read_call(call)
        return deltas

    def end(self, *, is_whole: bool) -> list[Delta]:
        """The call that was still coming has ended."""
        index, self._open_index = self._open_index, None
        return [] if index is None else [ToolCallEnd(index, is_whole)]

    def _read_call(self, call: dict[str, Any]) -> list[Delta]:
        deltas: list[Delta] = []
        index = int(call["index"])
        function: dict[str, Any] = call.get("function") or {}
        if call.get("id"):
            deltas += self.end(is_whole=True)
            deltas.append(ToolCallBegin(index, str(call["id"]), str(function["name"])))
            self._open_index = index
        if arguments := function.get("arguments"):
            deltas.append(ToolCallArguments(index, str(arguments)))
        return deltas


def _read_logprobs(plain: dict[str, Any] | None) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(_read_scored(entry), tuple(map(_read_scored, entry["top_logprobs"])))
        for entry in (plain or {}).get("content") or ()
    )


def _read_scored(plain: dict[str, Any]) -> ScoredToken:
    return ScoredToken(bytes(plain["bytes"]), float(plain["logprob"]))


def _read_usage(plain: dict[str, Any]) -> Usage:
    prompt: dict[str, Any] = plain.get("prompt_tokens_details") or {}
    completion: dict[str, Any] = plain.get("completion_tokens_details") or {}
    return Usage(
        int(plain.get("prompt_tokens", 0)),
        int(plain.get("completion_tokens", 0)),
        int(prompt.get("cached_tokens", 0)),
        int(completion.get("reasoning_tokens", 0)),
    )


def load_object(body: bytes) -> dict[str, Any]:
    try:
        value: Any = json.loads(body)
    except ValueError:
        return {}
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}
