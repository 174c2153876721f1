"""The blocks of a message, one Struct for each type that means something here.

What is not in them (cache_control, citations, caller) may change from one turn to the next and must
not reach the prompt.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, field


class Typed(msgspec.Struct):
    """Any block, read for its type."""

    type: str


class TextBody(msgspec.Struct):
    text: str


class Source(msgspec.Struct):
    """Where a picture or document is: base64 and text have `data`, content has `content`."""

    type: str
    data: Annotated[Raw, Meta(extra_json_schema={"type": "string"})] = field(default_factory=Raw)
    url: Annotated[Raw, Meta(extra_json_schema={"type": "string"})] = field(default_factory=Raw)
    content: Raw = field(default_factory=Raw)


class ImageBody(msgspec.Struct):
    source: Source


class DocumentBody(msgspec.Struct):
    source: Source
    title: str | None = None
    context: str | None = None


class SearchResultBody(msgspec.Struct):
    content: Raw = field(default_factory=Raw)
    source: str | None = None
    title: str | None = None


class ToolUseBody(msgspec.Struct):
    id: str
    name: Annotated[str, Meta(min_length=1)]
    input: Raw = field(default_factory=Raw)


class ToolResultBody(msgspec.Struct):
    tool_use_id: str
    content: Raw = field(default_factory=Raw)
    is_error: bool | None = None


class ToolReferenceBody(msgspec.Struct):
    tool_name: str


class ThinkingBody(msgspec.Struct):
    thinking: str | None = None
    # Whatever a client kept of it; only one of ours says anything.
    signature: Any = None
