"""The events of a Responses stream.

Values only: which may follow which is known to `stream.py` and `open_items.py`. An item has one
part, so the index of a part is always 0.
"""

from __future__ import annotations

import msgspec

from .items import Logprob, OutputItem, OutputText, ReasoningText, SummaryText


class Event(msgspec.Struct, frozen=True):
    """`sequence_number` counts the events of a stream from 0, without gaps."""

    sequence_number: int


class _OfResponse(Event, frozen=True):
    """`response` is the JSON of a `reply.Response`: it is large, and often told unchanged."""

    response: msgspec.Raw


class Created(_OfResponse, frozen=True, tag="response.created"): ...


class InProgress(_OfResponse, frozen=True, tag="response.in_progress"): ...


class Completed(_OfResponse, frozen=True, tag="response.completed"): ...


class Incomplete(_OfResponse, frozen=True, tag="response.incomplete"): ...


class Failed(_OfResponse, frozen=True, tag="response.failed"): ...


class ItemAdded(Event, frozen=True, tag="response.output_item.added"):
    output_index: int
    item: OutputItem


class ItemDone(Event, frozen=True, tag="response.output_item.done"):
    output_index: int
    item: OutputItem


class _OfItem(Event, frozen=True):
    output_index: int
    item_id: str


class PartAdded(_OfItem, frozen=True, tag="response.content_part.added"):
    part: OutputText | ReasoningText
    content_index: int = 0


class PartDone(_OfItem, frozen=True, tag="response.content_part.done"):
    part: OutputText | ReasoningText
    content_index: int = 0


class TextPiece(_OfItem, frozen=True, tag="response.output_text.delta"):
    delta: str
    logprobs: tuple[Logprob, ...]
    content_index: int = 0


class TextDone(_OfItem, frozen=True, tag="response.output_text.done"):
    text: str
    logprobs: tuple[Logprob, ...]
    content_index: int = 0


class ReasoningPiece(_OfItem, frozen=True, tag="response.reasoning_text.delta"):
    delta: str
    content_index: int = 0


class ReasoningDone(_OfItem, frozen=True, tag="response.reasoning_text.done"):
    text: str
    content_index: int = 0


class SummaryPartAdded(_OfItem, frozen=True, tag="response.reasoning_summary_part.added"):
    part: SummaryText
    summary_index: int = 0


class SummaryPartDone(_OfItem, frozen=True, tag="response.reasoning_summary_part.done"):
    part: SummaryText
    summary_index: int = 0


class SummaryPiece(_OfItem, frozen=True, tag="response.reasoning_summary_text.delta"):
    delta: str
    summary_index: int = 0


class SummaryDone(_OfItem, frozen=True, tag="response.reasoning_summary_text.done"):
    text: str
    summary_index: int = 0


class ArgumentsPiece(_OfItem, frozen=True, tag="response.function_call_arguments.delta"):
    delta: str


class ArgumentsDone(_OfItem, frozen=True, tag="response.function_call_arguments.done"):
    name: str
    arguments: str


class InputPiece(_OfItem, frozen=True, tag="response.custom_tool_call_input.delta"):
    delta: str


class InputDone(_OfItem, frozen=True, tag="response.custom_tool_call_input.done"):
    input: str
