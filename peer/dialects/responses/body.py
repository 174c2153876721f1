"""The body of POST /v1/responses, as far as anything in it has an effect.

What is not here is accepted and ignored. Items and tools come in many kinds, and clients send new
ones at any time: each is read by its own kind, and what is of none is left alone.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta, Raw, field

from cortex.engine.types import MAX_TOP_LOGPROBS

from ..content import Part
from ..decoding import ModelName
from ..offered_tools import Schema
from ..sampling import EffortName, Penalty, Probability, Seed, TokenCount

_OBJECT = {"type": "object"}
_TYPED = {"type": "object", "properties": {"type": {"type": "string"}}}
_OBJECTS = {"type": "array", "items": _TYPED}


class Kind(msgspec.Struct):
    """What an item or a tool is; a missing type with a role means a message."""

    type: str | None = None
    role: str | None = None
    id: Any = None


Content = str | list[Part]


class MessageInput(msgspec.Struct):
    role: str
    content: Content | None = None


class ReasoningInput(msgspec.Struct):
    """What the model thought before the message or calls that follow."""

    content: list[Part] | None = None
    summary: list[Part] | None = None


class CallInput(msgspec.Struct):
    """A call of a function, with the JSON text of an object, or of a custom tool, with a text."""

    name: Annotated[str, Meta(min_length=1)]
    call_id: str | None = None
    namespace: str | None = None
    arguments: str | None = None
    input: str | None = None


class CallOutput(msgspec.Struct):
    """The result of a call of either kind."""

    call_id: str | None = None
    output: Content | None = None


class HostedCall(msgspec.Struct):
    """A call of a tool that a client runs under a name of the dialect's own, or its output."""

    call_id: str | None = None
    id: str | None = None
    action: Raw = field(default_factory=Raw)
    operation: Raw = field(default_factory=Raw)
    output: Raw = field(default_factory=Raw)


class AgentMessage(msgspec.Struct):
    content: Content | None = None


class MoreTools(msgspec.Struct):
    """Tools that a client adds in the middle of a conversation."""

    tools: list[Raw] | None = None


class NamespaceTool(msgspec.Struct):
    """Tools under a common name."""

    name: str
    tools: Annotated[list[Raw], Meta(extra_json_schema=_OBJECTS)]


class NamedTool(msgspec.Struct):
    type: str
    name: str | None = None
    namespace: str | None = None


class ChosenTool(NamedTool):
    """One tool, or of type allowed_tools several."""

    mode: Literal["auto", "required"] = "auto"
    tools: list[NamedTool] | None = None


class Format(msgspec.Struct):
    type: str
    schema: Schema = field(default_factory=Raw)


class TextOptions(msgspec.Struct):
    format: Annotated[Raw, Meta(extra_json_schema=_OBJECT)] = field(default_factory=Raw)
    verbosity: Any = None


class ReasoningOptions(msgspec.Struct):
    """A `summary` of any form: the reasoning is told as one, whole. The other name is its old."""

    effort: EffortName | None = None
    summary: Any = None
    generate_summary: Any = None


class ResponsesBody(msgspec.Struct, kw_only=True):
    """What is asked of a model, and how it is told. Fields that are not listed are ignored."""

    model: ModelName
    input: Annotated[
        Raw,
        Meta(
            description="A text, or items by their type: message, reasoning, function_call, "
            "custom_tool_call, their outputs, additional_tools. Others are skipped.",
            extra_json_schema={"anyOf": [{"type": "string"}, _OBJECTS]},
        ),
    ]
    instructions: Annotated[str, Meta(description="Stands before the input.")] | None = None
    stream: bool | None = None
    max_output_tokens: TokenCount | None = None
    temperature: Annotated[float, Meta(ge=0, le=2, description="0 is greedy.")] | None = None
    top_p: Probability | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Seed | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    include: Annotated[
        Any, Meta(description="With message.output_text.logprobs in it, these are told.")
    ] = None
    tools: Annotated[
        Raw,
        Meta(
            description="By their type: function, custom, namespace. Others are not offered.",
            extra_json_schema=_OBJECTS,
        ),
    ] = field(default_factory=Raw)
    tool_choice: Annotated[
        Raw,
        Meta(
            description="auto, none, required, or an object that names a tool.",
            extra_json_schema={"type": ["string", "object"]},
        ),
    ] = field(default_factory=Raw)
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    metadata: Annotated[Any, Meta(description="An object, told again.")] = None
    # Hints of which conversation this is: nothing in them is a reason to refuse.
    prompt_cache_key: Any = None
    user: Any = None
    safety_identifier: Any = None
    # Refused where they say anything, because nothing is stored here.
    previous_response_id: Any = None
    conversation: Any = None
    prompt: Any = None
    background: Any = None

    @property
    def notes(self) -> dict[str, Any]:
        """The metadata; what is no object is none."""
        return cast(dict[str, Any], self.metadata) if isinstance(self.metadata, dict) else {}
