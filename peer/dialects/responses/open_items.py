"""The output item that an answer is writing: its events from `added` to `done`.

`stream.py` decides which is open. An item is begun once, pushed text, and ended once; then `item`
is whole. An item has one part at the most, so the index of a part is always 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..free_text import FreeText
from .toolbox import ToolName

Json = dict[str, Any]
# Its type, and what it says beside that and its number.
Event = tuple[str, Json]


@dataclass(frozen=True, slots=True)
class _Kind:
    """`text_event` is what the events of its text are called, `text_field` where the item holds the
    text: as it is, or in a `part`.
    """

    id_prefix: str
    text_event: str
    text_field: str
    empty: Json
    part: Json = field(default_factory=dict[str, Any])


# Nothing of ours is secret, so there is nothing to encrypt.
_THOUGHT: Json = {"type": "reasoning", "summary": [], "content": [], "encrypted_content": None}
_MESSAGE = _Kind(
    "msg",
    "output_text",
    "content",
    {"type": "message", "role": "assistant", "content": []},
    {"type": "output_text", "text": "", "annotations": [], "logprobs": []},
)
_REASONING = _Kind(
    "rs", "reasoning_text", "content", _THOUGHT, {"type": "reasoning_text", "text": ""}
)
_SUMMARY = _Kind(
    "rs", "reasoning_summary_text", "summary", _THOUGHT, {"type": "summary_text", "text": ""}
)
_FUNCTION = _Kind(
    "fc", "function_call_arguments", "arguments", {"type": "function_call", "arguments": ""}
)
_CUSTOM = _Kind("ctc", "custom_tool_call_input", "input", {"type": "custom_tool_call", "input": ""})
_PART_EVENTS = {"content": "content_part", "summary": "reasoning_summary_part"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item stands; `own_id` is what the ids of one response have in common."""

    own_id: str
    output_index: int


class OpenItem:
    def __init__(self, kind: _Kind, place: Place, **more: Any) -> None:
        item_id = f"{kind.id_prefix}_{place.own_id}{place.output_index:04x}"
        self.item: Json = {"id": item_id, "status": "in_progress"} | kind.empty | more
        self._kind = kind
        self._index = {"output_index": place.output_index}
        self._at: Json = self._index | {"item_id": item_id}
        if kind.part:
            self._at[f"{kind.text_field}_index"] = 0
        self._texts: list[str] = []

    def begin(self) -> Iterator[Event]:
        yield "response.output_item.added", self._index | {"item": self.item}
        if self._kind.part:
            yield self._of_part("added", self._kind.part)

    def push(self, text: str) -> Iterator[Event]:
        yield self._piece(text)

    def end(self, status: str) -> Iterator[Event]:
        return self._ended(status)

    def _piece(self, text: str, **more: Any) -> Event:
        self._texts.append(text)
        return f"response.{self._kind.text_event}.delta", self._at | {"delta": text} | more

    def _ended(self, status: str, **more: Any) -> Iterator[Event]:
        """With `more` in the event that ends its text, and in its part."""
        text, text_field = "".join(self._texts), self._kind.text_field
        done = {"text" if self._kind.part else text_field: text} | more
        yield f"response.{self._kind.text_event}.done", self._at | done
        whole: Any = text
        if self._kind.part:
            whole = [self._kind.part | done]
            yield self._of_part("done", whole[0])
        self.item = self.item | {"status": status, text_field: whole}
        yield "response.output_item.done", self._index | {"item": self.item}

    def _of_part(self, what: str, part: Json) -> Event:
        name = _PART_EVENTS[self._kind.text_field]
        return f"response.{name}.{what}", self._at | {"part": part}


class OpenThought(OpenItem):
    """What the model thinks: the same text also for clients that read nothing but summaries."""

    def __init__(self, place: Place, *, is_summary: bool) -> None:
        super().__init__(_SUMMARY if is_summary else _REASONING, place)


class OpenMessage(OpenItem):
    """What the model says. `waiting` are log probabilities that no text has taken along yet."""

    def __init__(self, place: Place, waiting: list[Json]) -> None:
        super().__init__(_MESSAGE, place)
        self._waiting = waiting
        self._logprobs: list[Json] = []

    def push(self, text: str) -> Iterator[Event]:
        yield self._piece(text, logprobs=self._take_logprobs())

    def end(self, status: str) -> Iterator[Event]:
        self._take_logprobs()  # those of tokens that said nothing any more
        return self._ended(status, logprobs=self._logprobs)

    def _take_logprobs(self) -> list[Json]:
        taken = self._waiting.copy()
        self._waiting.clear()
        self._logprobs += taken
        return taken


class OpenCall(OpenItem):
    """Of a custom tool's call the client gets the plain text that is in the arguments."""

    def __init__(self, place: Place, call_id: str, tool: ToolName) -> None:
        namespace = {"namespace": tool.namespace} if tool.namespace else {}
        kind = _CUSTOM if tool.is_custom else _FUNCTION
        super().__init__(kind, place, call_id=call_id, name=tool.name, **namespace)
        self._free_text = FreeText() if tool.is_custom else None

    def push(self, text: str) -> Iterator[Event]:
        known = text if self._free_text is None else self._free_text.push(text)
        if known:
            yield self._piece(known)

    def end(self, status: str) -> Iterator[Event]:
        if self._free_text is None:
            yield from self._ended(status, name=self.item["name"])
            return
        if rest := self._free_text.end():
            yield self._piece(rest)
        yield from self._ended(status)
