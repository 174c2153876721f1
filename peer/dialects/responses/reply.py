"""The response object: what of the request it says again, and how it stands.

Values and pure functions. Its output items are made by `stream.py`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from cortex.engine.types import Effort, Usage

from .items import OutputItem

ReplyStatus = Literal["in_progress", "completed", "incomplete", "failed"]


class ReasoningEcho(msgspec.Struct, frozen=True):
    effort: Effort | None = None
    summary: Any = None


class TextEcho(msgspec.Struct, frozen=True):
    format: msgspec.Raw = msgspec.Raw(b'{"type":"text"}')
    verbosity: Any = msgspec.UNSET


class Echo(msgspec.Struct, frozen=True, kw_only=True):
    """What of the request stands in its response, the raw fields as they were sent."""

    instructions: str | None = None
    max_output_tokens: int | None = None
    metadata: dict[str, Any] = {}
    parallel_tool_calls: bool = True
    reasoning: ReasoningEcho = ReasoningEcho()
    temperature: float = 1.0
    text: TextEcho = TextEcho()
    tool_choice: msgspec.Raw = msgspec.Raw(b'"auto"')
    tools: msgspec.Raw = msgspec.Raw(b"[]")
    top_logprobs: int = 0
    top_p: float = 1.0


class Head(msgspec.Struct, frozen=True):
    """What is the same in every object of one response."""

    id: str
    created_at: int
    model: str
    echo: Echo


class InputDetails(msgspec.Struct, frozen=True):
    cached_tokens: int
    cache_write_tokens: int = 0


class OutputDetails(msgspec.Struct, frozen=True):
    reasoning_tokens: int


class ToldUsage(msgspec.Struct, frozen=True):
    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class Fault(msgspec.Struct, frozen=True):
    code: str
    message: str


class IncompleteDetails(msgspec.Struct, frozen=True):
    reason: Literal["max_output_tokens"]


class State(msgspec.Struct, frozen=True):
    """What changes of a response while it is told."""

    status: ReplyStatus = "in_progress"
    output: tuple[OutputItem, ...] = ()
    completed_at: int | None = None
    error: Fault | None = None
    incomplete_details: IncompleteDetails | None = None
    usage: ToldUsage | None = None


class Response(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None
    status: ReplyStatus
    error: Fault | None
    incomplete_details: IncompleteDetails | None
    instructions: str | None
    model: str
    output: tuple[OutputItem, ...]
    parallel_tool_calls: bool
    # Nothing is stored here, and nothing runs on once its client has gone.
    previous_response_id: None = None
    store: Literal[False] = False
    background: Literal[False] = False
    truncation: Literal["disabled"] = "disabled"
    reasoning: ReasoningEcho
    temperature: float
    top_p: float
    top_logprobs: int
    text: TextEcho
    tool_choice: msgspec.Raw
    tools: msgspec.Raw
    max_output_tokens: int | None
    metadata: dict[str, Any]
    usage: ToldUsage | None


def response(head: Head, state: State) -> Response:
    echo = head.echo
    return Response(
        id=head.id,
        created_at=head.created_at,
        completed_at=state.completed_at,
        status=state.status,
        error=state.error,
        incomplete_details=state.incomplete_details,
        instructions=echo.instructions,
        model=head.model,
        output=state.output,
        parallel_tool_calls=echo.parallel_tool_calls,
        reasoning=echo.reasoning,
        temperature=echo.temperature,
        top_p=echo.top_p,
        top_logprobs=echo.top_logprobs,
        text=echo.text,
        tool_choice=echo.tool_choice,
        tools=echo.tools,
        max_output_tokens=echo.max_output_tokens,
        metadata=echo.metadata,
        usage=state.usage,
    )


def told_usage(usage: Usage) -> ToldUsage:
    return ToldUsage(
        usage.prompt_tokens,
        InputDetails(usage.cached_tokens),
        usage.completion_tokens,
        OutputDetails(usage.reasoning_tokens),
        usage.prompt_tokens + usage.completion_tokens,
    )
