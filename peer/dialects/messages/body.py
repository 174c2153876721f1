"""The bodies of the messages dialect, as far as anything in them has an effect.

Types and ranges only; `parse.py` and its neighbours say what the fields mean. What is not here is
accepted and ignored. Blocks are of many kinds, some of them unknown: each is raw until its type has
been read. The descriptions here are the API's documentation.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, field

from ..decoding import ModelName
from ..offered_tools import Schema
from ..sampling import EffortName, TopK

_BLOCK = {"type": "object", "properties": {"type": {"type": "string"}}, "required": ["type"]}
_TEXT_OR_BLOCKS = {"type": ["string", "array"], "items": _BLOCK}

# Whole numbers, however they are written.
Count = Annotated[int, Meta(ge=0)] | Annotated[float, Meta(ge=0)]


class Turn(msgspec.Struct):
    """One message; several of one role in a row are one turn."""

    role: Annotated[str, Meta(description="user, assistant, or (anywhere) system.")]
    content: Annotated[
        Raw,
        Meta(
            description="Text, or blocks: text, image, document, search_result, tool_use,"
            " tool_result, thinking. Blocks of other types are skipped,"
            " but for what other dialects call these: image_url, input_text and the like.",
            extra_json_schema=_TEXT_OR_BLOCKS,
        ),
    ] = field(default_factory=Raw)


class ThinkingWish(msgspec.Struct):
    """`enabled` reasons up to its `budget_tokens`, `disabled` not at all; with `adaptive`, or any
    other type, the effort decides. `display` "omitted" leaves thinking blocks without their text.
    """

    type: str
    budget_tokens: Count | None = None
    display: Any = None


class OutputFormat(msgspec.Struct):
    """The answer is JSON that obeys this schema; `type` is json_schema."""

    type: str
    schema: Schema = field(default_factory=Raw)


class OutputConfig(msgspec.Struct):
    """How much the model reasons, and what its answer has to look like."""

    effort: EffortName | None = None
    format: OutputFormat | None = None


class ToolDefinition(msgspec.Struct):
    """A tool to call. Those of another `type` than custom that bring no schema are not offered."""

    name: str | None = None
    description: str | None = None
    input_schema: Schema = field(default_factory=Raw)
    type: str | None = None
    strict: bool | None = None


class ToolChoiceWish(msgspec.Struct):
    """Whether the model may (auto), must (any; tool: the one of this name) or must not (none) call
    tools.
    """

    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class PromptBody(msgspec.Struct, kw_only=True):
    """A prompt whose tokens are to be counted. Fields that are not listed are ignored."""

    model: ModelName
    messages: Annotated[list[Turn], Meta(min_length=1)]
    system: Annotated[
        Raw, Meta(description="Text, or text blocks.", extra_json_schema=_TEXT_OR_BLOCKS)
    ] = field(default_factory=Raw)
    tools: list[ToolDefinition] | None = None
    tool_choice: ToolChoiceWish | None = None
    thinking: ThinkingWish | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None


class MessagesBody(PromptBody, kw_only=True):
    """A prompt, and how it is to be answered. Fields that are not listed are ignored."""

    max_tokens: Annotated[
        Count, Meta(description="Lowered to what the context leaves. 0: the prompt is only read.")
    ]
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=1, description="0 is greedy.")] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: TopK | None = None
    stop_sequences: list[str] | None = None
    # A hint of which conversation this is: nothing in it is a reason to refuse.
    metadata: Any = None
