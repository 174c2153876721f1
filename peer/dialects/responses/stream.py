"""An answer told in the Responses dialect: a strict state machine over its pieces.

One item is open at a time, and the final object is made of the items that were told. A whole reply
is the same machine with nobody listening to its events. Pure; the clock is an argument.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from cortex.engine.errors import ContextLengthExceeded
from cortex.engine.types import (
    Delta,
    Finished,
    Piece,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallBegin,
    ToolCallEnd,
)

from ..errors import ToldError
from . import events as e
from .items import Logprob, OutputItem, Status, told_logprob
from .open_items import (
    OpenCustomCall,
    OpenFunctionCall,
    OpenItem,
    OpenMessage,
    OpenReasoning,
    OpenSummary,
    OpenThought,
    Place,
)
from .reply import Fault, Head, IncompleteDetails, Response, State, response, told_usage
from .toolbox import ToolName

RESPONSE_PREFIX = "resp_"
# Clients send a failed request again unless its code is one of a few. The codes of most requests
# that would fail again are not among them, so they are told as this one.
_FINAL_CODE = "invalid_prompt"
_CANCELLED = Fault("cancelled", "the answer was cancelled by whoever runs this peer")


@dataclass(frozen=True, slots=True)
class Manner:
    """How the asker wants the answer told. `tools` are by the names that the model knows."""

    summarises: bool = False
    tools: Mapping[str, ToolName] = field(default_factory=dict[str, ToolName])


class ResponseStream:
    """Ask for `open`, push pieces, and end it once with `finish` or `fail`."""

    def __init__(self, head: Head, manner: Manner, clock: Callable[[], float]) -> None:
        self._head = head
        self._manner = manner
        self._clock = clock
        self._number = itertools.count().__next__
        self._items: list[OutputItem] = []
        self._open: OpenItem | None = None
        # Of tokens whose text is still to come.
        self._logprobs: tuple[Logprob, ...] = ()
        self._snapshot = _raw(response(head, State()))

    def open(self) -> list[e.Event]:
        return [e.Created(self._number(), self._snapshot), *self.keep_alive()]

    def keep_alive(self) -> list[e.Event]:
        """What it was at the start, again: an event, because some clients count those alone."""
        return [e.InProgress(self._number(), self._snapshot)]

    def push(self, piece: Piece) -> list[e.Event]:
        self._logprobs += tuple(map(told_logprob, piece.logprobs))
        return [event for delta in piece.deltas for event in self._push(delta)]

    def finish(self, finished: Finished) -> tuple[list[e.Event], Response]:
        """The last events, and the response as the last of them tells it."""
        match finished.reason:
            case "stop":
                ended = self._end_open("completed")
                state = State("completed", completed_at=int(self._clock()))
            case "length" | "context":
                ended = self._end_open("incomplete")
                details = IncompleteDetails("max_output_tokens")
                state = State("incomplete", incomplete_details=details)
            case "cancelled":
                ended = self._end_open("incomplete")
                state = State("failed", error=_CANCELLED)
        state = msgspec.structs.replace(state, usage=told_usage(finished.usage))
        return self._told_last(ended, state)

    def fail(self, error: ToldError) -> list[e.Event]:
        ended = self._end_open("incomplete")
        events, _ = self._told_last(ended, State("failed", error=_fault(error)))
        return events

    def _told_last(self, ended: list[e.Event], state: State) -> tuple[list[e.Event], Response]:
        last = response(self._head, msgspec.structs.replace(state, output=tuple(self._items)))
        kinds = {"completed": e.Completed, "incomplete": e.Incomplete}
        kind = kinds.get(last.status, e.Failed)
        return [*ended, kind(self._number(), _raw(last))], last

    def _push(self, delta: Delta) -> list[e.Event]:
        match delta:
            case ReasoningDelta():
                begun = [] if isinstance(self._open, OpenThought) else self._begin_thought()
            case TextDelta():
                begun = [] if isinstance(self._open, OpenMessage) else self._begin_message()
            case ToolCallBegin():
                return self._begin_call(delta)
            case ToolCallEnd():
                return self._end_open("completed" if delta.is_whole else "incomplete")
            case ToolCallArguments():
                begun = []
        return [*begun, *self._push_text(delta.text)]

    def _push_text(self, text: str) -> list[e.Event]:
        if self._open is None:
            return []
        if isinstance(self._open, OpenMessage):
            return self._open.push(text, self._take_logprobs())
        return self._open.push(text)

    def _begin_thought(self) -> list[e.Event]:
        ended = self._end_open("completed")
        kind = OpenSummary if self._manner.summarises else OpenReasoning
        return [*ended, *self._begin(kind(self._place("rs")))]

    def _begin_message(self) -> list[e.Event]:
        ended = self._end_open("completed")
        return [*ended, *self._begin(OpenMessage(self._place("msg")))]

    def _begin_call(self, call: ToolCallBegin) -> list[e.Event]:
        ended = self._end_open("completed")
        # A name that was not offered is told as it is: the client knows what to say to it.
        tool = self._manner.tools.get(call.name) or ToolName(call.name)
        if tool.is_custom:
            item = OpenCustomCall(self._place("ctc"), call.id, tool)
        else:
            item = OpenFunctionCall(self._place("fc"), call.id, tool)
        return [*ended, *self._begin(item)]

    def _place(self, kind: str) -> Place:
        index = len(self._items)
        own = self._head.id.removeprefix(RESPONSE_PREFIX)
        return Place(self._number, index, f"{kind}_{own}{index:04x}")

    def _begin(self, item: OpenItem) -> list[e.Event]:
        self._open = item
        return item.begin()

    def _end_open(self, status: Status) -> list[e.Event]:
        item, self._open = self._open, None
        if item is None:
            return []
        if isinstance(item, OpenMessage):
            ended = item.end(status, self._take_logprobs())
        else:
            ended = item.end(status)
        self._items.append(ended.item)
        return ended.events

    def _take_logprobs(self) -> tuple[Logprob, ...]:
        taken, self._logprobs = self._logprobs, ()
        return taken


def _fault(error: ToldError) -> Fault:
    may_pass = error.status >= 500 or error.status == 429
    is_known = error.code == ContextLengthExceeded.code()
    is_final = not (may_pass and error.may_retry) and not is_known
    return Fault(_FINAL_CODE if is_final else error.code, error.message)


def _raw(response: Response) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(response))
