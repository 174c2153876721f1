"""The body of POST /v1/chat/completions, as far as anything in it has an effect.

What is not here is accepted and ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, field

from cortex.engine.types import MAX_TOP_LOGPROBS

from ..content import Part
from ..offered_tools import CustomTool, FunctionTool
from ..sampling import DecoderFields, EffortName, MaxTokens

_ANY_OBJECT = {"type": "object"}
Budget = Annotated[
    Annotated[int, Meta(ge=-1)] | Annotated[float, Meta(ge=-1)],
    Meta(description="How many tokens reasoning may take; -1: no bound."),
]


class CalledFunction(msgspec.Struct):
    name: Annotated[str, Meta(min_length=1)]
    arguments: Annotated[str, Meta(description="The JSON text of an object.")] | None = None


class CalledCustom(msgspec.Struct):
    name: Annotated[str, Meta(min_length=1)]
    input: str | None = None


class Call(msgspec.Struct):
    id: str | None = None
    function: CalledFunction | None = None
    custom: CalledCustom | None = None


class ChatMessage(msgspec.Struct):
    role: str
    content: str | list[Part] | None = None
    # Reasoning of an earlier answer, under each of its names; what is no string is not looked at.
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_text: Any = None
    tool_calls: list[Call] | None = None
    function_call: CalledFunction | None = None
    tool_call_id: str | None = None
    name: Any = None


class ChatTool(msgspec.Struct):
    type: str
    function: FunctionTool | None = None
    custom: CustomTool | None = None


class NamedTool(msgspec.Struct):
    name: str


class AllowedTool(msgspec.Struct):
    function: NamedTool | None = None
    custom: NamedTool | None = None


class AllowedTools(msgspec.Struct):
    mode: Literal["auto", "required"]
    tools: list[AllowedTool]


class ChosenTool(msgspec.Struct):
    type: str
    function: NamedTool | None = None
    custom: NamedTool | None = None
    allowed_tools: AllowedTools | None = None


class ReasoningSwitch(msgspec.Struct):
    """OpenRouter's and Ollama's way to say how much the model reasons."""

    effort: EffortName | None = None
    enabled: bool | None = None
    max_tokens: Budget | None = None


class ThinkingSwitch(msgspec.Struct):
    """The messages dialect's way: `enabled`, `disabled`; any other type asks nothing."""

    type: str | None = None
    budget_tokens: Budget | None = None


class ChatBody(DecoderFields, kw_only=True):
    """What is asked of a chat model. Fields that are not listed are ignored."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    max_completion_tokens: MaxTokens | None = None
    tools: list[ChatTool] | None = None
    tool_choice: str | ChosenTool | None = None
    parallel_tool_calls: bool | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    reasoning_effort: EffortName | None = None
    # The same in the words of other servers.
    reasoning: ReasoningSwitch | bool | None = None
    thinking: ThinkingSwitch | bool | None = None
    think: Annotated[bool | str, Meta(description="Whether to reason, or an effort.")] | None = None
    enable_thinking: bool | None = None
    thinking_budget: Budget | None = None
    chat_template_kwargs: Annotated[Raw, Meta(extra_json_schema=_ANY_OBJECT)] = field(
        default_factory=Raw
    )
    modalities: list[str] | None = None
    audio: Any = None
    # The old spelling of tools: refused where it says anything.
    functions: list[Any] | None = None
    function_call: Any = None
