"""Thoughts and words of an answer, read back out of the lines of a chat-completions stream."""

from __future__ import annotations

import json
from typing import Any, cast

from cortex.engine.stream import Delta, Event, Finished, Piece, ReasoningDelta, TextDelta, Usage
from cortex.engine.types import FinishReason

from ..errors import AnswerBrokeOff
from ..onlooker.reading import text as text_of
from .progress import AnsweredBy, Remark, from_comment
from .told_errors import error_of

BROKE_OFF = "send the question again"


class StreamReader:
    """Lines of a chat-completions stream in, events out."""

    def __init__(self) -> None:
        self.answered_by = ""
        self._reason: FinishReason | None = None
        self._is_finished = False

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
        for choice in chunk.get("choices", ())[:1]:
            if deltas := _read_deltas(choice.get("delta", {})):
                events.append(Piece(deltas))
            if choice.get("finish_reason") is not None:
                self._reason = "length" if choice["finish_reason"] == "length" else "stop"
        if chunk.get("usage") and self._reason is not None:
            self._is_finished = True
            events.append(Finished(self._reason, _read_usage(chunk["usage"])))
        return events


def _read_deltas(delta: dict[str, Any]) -> tuple[Delta, ...]:
    """Raises what reading foreign JSON raises."""
    deltas: list[Delta] = []
    if reasoning := delta.get("reasoning_content"):
        deltas.append(ReasoningDelta(str(reasoning)))
    if text := delta.get("content"):
        deltas.append(TextDelta(str(text)))
    return tuple(deltas)


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
