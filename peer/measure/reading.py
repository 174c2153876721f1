"""The stream of an answer, read against a clock.

It knows the events of OpenAI's two completion dialects, and what vLLM and cortex add to them: the
ids of the tokens in each event. It knows no network: lines come from whoever reads it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Callable
from typing import Any, cast

from .timeline import Arrival, Timeline

Clock = Callable[[], float]

# Where endpoints put what a model says: plain completions, chat, and two names for reasoning.
_TEXT_FIELDS = ("text", "content", "reasoning_content", "reasoning")


class TimelineReader:
    """Gathers the events of one answer."""

    def __init__(self, sent_s: float) -> None:
        self._sent_s = sent_s
        self._arrivals: list[Arrival] = []
        self._token_ids: list[int] = []
        self._text: list[str] = []
        self._has_every_id = True
        self._usage: dict[str, Any] = {}
        self._is_finished = False
        self._error = ""

    def read_line(self, line: bytes, now_s: float) -> None:
        if not line.startswith(b"data:"):
            return
        data = line[5:].strip()
        if data == b"[DONE]":
            self._is_finished = True
            return
        event = load_object(data)
        if "error" in event:
            self._error = self._error or name_error(event, 0)
        usage = event.get("usage")
        if isinstance(usage, dict):
            self._usage = cast(dict[str, Any], usage)
        for choice in objects(event.get("choices")):
            self._read_choice(choice, now_s)

    def timeline(self, ended_s: float, error: str = "") -> Timeline:
        if not error and not self._is_finished:
            error = self._error or "broke off before its end"
        details = _object(self._usage.get("prompt_tokens_details"))
        return Timeline(
            sent_s=self._sent_s,
            ended_s=ended_s,
            arrivals=tuple(self._arrivals),
            token_ids=tuple(self._token_ids),
            text="".join(self._text),
            has_token_ids=bool(self._arrivals) and self._has_every_id,
            prompt_tokens=_count(self._usage.get("prompt_tokens")),
            completion_tokens=_count(self._usage.get("completion_tokens")),
            cached_tokens=_count(details.get("cached_tokens")) or 0,
            error=error or self._error,
        )

    def _read_choice(self, choice: dict[str, Any], now_s: float) -> None:
        if choice.get("finish_reason") is not None:
            self._is_finished = True
        ids = _token_ids(choice)
        says = choice | _object(choice.get("delta"))
        self._text += [text for name in _TEXT_FIELDS if isinstance(text := says.get(name), str)]
        if ids:
            self._token_ids.extend(ids)
            self._arrivals.append(Arrival(now_s, len(ids)))
        elif any(says.get(name) for name in (*_TEXT_FIELDS, "tool_calls")):
            # Text after ids is what was held back of tokens that have been counted.
            if self._token_ids:
                return
            self._has_every_id = False
            self._arrivals.append(Arrival(now_s))


async def read_timeline(
    lines: AsyncIterable[bytes], clock: Clock, reader: TimelineReader
) -> Timeline:
    """Everything that `lines` brings, each line at the time it came."""
    async for line in lines:
        reader.read_line(line, clock())
    return reader.timeline(clock())


def name_error(body: dict[str, Any], status: int) -> str:
    """A short name under which the same failure is counted again: never the message."""
    told = _object(body.get("error"))
    code = told.get("code") or told.get("type")
    parts = [f"status {status}"] if status else []
    if isinstance(code, str | int) and code != status:
        parts.append(str(code)[:60])
    return " ".join(parts) or "an error in the stream"


def _token_ids(choice: dict[str, Any]) -> list[int]:
    value: Any = choice.get("token_ids")
    if not isinstance(value, list):
        return []
    items = cast(list[Any], value)
    return items if all(isinstance(item, int) for item in items) else []


def objects(value: Any) -> list[dict[str, Any]]:
    items = cast(list[Any], value) if isinstance(value, list) else []
    return [cast(dict[str, Any], item) for item in items if isinstance(item, dict)]


def _object(value: Any) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def load_object(data: bytes) -> dict[str, Any]:
    try:
        return _object(json.loads(data))
    except ValueError:
        return {}
