"""The deltas of an answer, read back out of chat-completions chunks.

That dialect does not say where a call ends: it has ended when another thing comes.
"""

from __future__ import annotations

from typing import Any

from cortex.engine.types import (
    Delta,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallBegin,
    ToolCallEnd,
)


class ChunkReader:
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
