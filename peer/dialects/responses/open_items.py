"""The output item that an answer is writing: its events from `added` to `done`.

One class for each kind of item; `stream.py` decides which is open. An item is begun once, pushed
text, and ended once, which gives the finished item beside its last events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from ..free_text import FreeText
from . import events as e
from .items import (
    CustomCallItem,
    FunctionCallItem,
    Logprob,
    MessageItem,
    OutputItem,
    OutputText,
    ReasoningItem,
    ReasoningText,
    Status,
    SummaryText,
)
from .toolbox import ToolName


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item stands; `number` gives the next event's sequence number."""

    number: Callable[[], int]
    output_index: int
    item_id: str

    def next(self) -> tuple[int, int, str]:
        """What each event of the item begins with."""
        return self.number(), self.output_index, self.item_id

    def added(self, item: OutputItem) -> e.Event:
        return e.ItemAdded(self.number(), self.output_index, item)

    def done(self, item: OutputItem) -> e.Event:
        return e.ItemDone(self.number(), self.output_index, item)


@dataclass(frozen=True, slots=True)
class Ended:
    item: OutputItem
    events: list[e.Event]


class OpenMessage:
    """What the model says, with the log probabilities of its tokens where they are told."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._texts: list[str] = []
        self._logprobs: list[Logprob] = []

    def begin(self) -> list[e.Event]:
        added = self._place.added(MessageItem(self._place.item_id, "in_progress"))
        return [added, e.PartAdded(*self._place.next(), OutputText(""))]

    def push(self, text: str, logprobs: tuple[Logprob, ...]) -> list[e.Event]:
        self._texts.append(text)
        self._logprobs += logprobs
        return [e.TextPiece(*self._place.next(), text, logprobs)]

    def end(self, status: Status, late_logprobs: tuple[Logprob, ...]) -> Ended:
        """`late_logprobs` are those of tokens that said nothing any more."""
        part = OutputText("".join(self._texts), (), (*self._logprobs, *late_logprobs))
        item = MessageItem(self._place.item_id, status, (part,))
        events = [
            e.TextDone(*self._place.next(), part.text, part.logprobs),
            e.PartDone(*self._place.next(), part),
            self._place.done(item),
        ]
        return Ended(item, events)


class OpenReasoning:
    """What the model thinks."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._texts: list[str] = []

    def begin(self) -> list[e.Event]:
        added = self._place.added(ReasoningItem(self._place.item_id, "in_progress"))
        return [added, e.PartAdded(*self._place.next(), ReasoningText(""))]

    def push(self, text: str) -> list[e.Event]:
        self._texts.append(text)
        return [e.ReasoningPiece(*self._place.next(), text)]

    def end(self, status: Status) -> Ended:
        part = ReasoningText("".join(self._texts))
        item = ReasoningItem(self._place.item_id, status, content=(part,))
        events = [
            e.ReasoningDone(*self._place.next(), part.text),
            e.PartDone(*self._place.next(), part),
            self._place.done(item),
        ]
        return Ended(item, events)


class OpenSummary:
    """What the model thinks, for clients that read nothing but summaries: the same text."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._texts: list[str] = []

    def begin(self) -> list[e.Event]:
        added = self._place.added(ReasoningItem(self._place.item_id, "in_progress"))
        return [added, e.SummaryPartAdded(*self._place.next(), SummaryText(""))]

    def push(self, text: str) -> list[e.Event]:
        self._texts.append(text)
        return [e.SummaryPiece(*self._place.next(), text)]

    def end(self, status: Status) -> Ended:
        part = SummaryText("".join(self._texts))
        item = ReasoningItem(self._place.item_id, status, summary=(part,))
        events = [
            e.SummaryDone(*self._place.next(), part.text),
            e.SummaryPartDone(*self._place.next(), part),
            self._place.done(item),
        ]
        return Ended(item, events)


class OpenFunctionCall:
    def __init__(self, place: Place, call_id: str, tool: ToolName) -> None:
        self._place = place
        self._call_id = call_id
        self._tool = tool
        self._texts: list[str] = []

    def begin(self) -> list[e.Event]:
        return [self._place.added(self._item("in_progress"))]

    def push(self, text: str) -> list[e.Event]:
        self._texts.append(text)
        return [e.ArgumentsPiece(*self._place.next(), text)]

    def end(self, status: Status) -> Ended:
        item = self._item(status)
        done = e.ArgumentsDone(*self._place.next(), item.name, item.arguments)
        return Ended(item, [done, self._place.done(item)])

    def _item(self, status: Status) -> FunctionCallItem:
        return FunctionCallItem(
            self._place.item_id,
            self._call_id,
            self._tool.name,
            "".join(self._texts),
            status,
            self._tool.namespace or msgspec.UNSET,
        )


class OpenCustomCall:
    """A call whose arguments the client gets as the plain text in them."""

    def __init__(self, place: Place, call_id: str, tool: ToolName) -> None:
        self._place = place
        self._call_id = call_id
        self._tool = tool
        self._free_text = FreeText()
        self._texts: list[str] = []

    def begin(self) -> list[e.Event]:
        return [self._place.added(self._item("in_progress"))]

    def push(self, json_text: str) -> list[e.Event]:
        return self._told(self._free_text.push(json_text))

    def end(self, status: Status) -> Ended:
        last = self._told(self._free_text.end())
        item = self._item(status)
        done = e.InputDone(*self._place.next(), item.input)
        return Ended(item, [*last, done, self._place.done(item)])

    def _told(self, text: str) -> list[e.Event]:
        if not text:
            return []
        self._texts.append(text)
        return [e.InputPiece(*self._place.next(), text)]

    def _item(self, status: Status) -> CustomCallItem:
        return CustomCallItem(
            self._place.item_id,
            self._call_id,
            self._tool.name,
            "".join(self._texts),
            status,
            self._tool.namespace or msgspec.UNSET,
        )


OpenCall = OpenFunctionCall | OpenCustomCall
OpenThought = OpenReasoning | OpenSummary
OpenItem = OpenMessage | OpenThought | OpenCall
