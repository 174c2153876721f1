"""The tools on offer, as OpenAI's dialects write them, and who may be called of them.

Models write a name inside their own markup: what would end it there is no part of a name. Tools
that take free text are functions, to the model, with one string parameter `input`; a call of one
comes back as the text itself, which `free_text.py` reads out of the arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Raw, field

from cortex.engine.types import Tool, ToolChoice

from .decoding import object_text, refuse
from .free_text import FreeText

_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")
_CUSTOM_PARAMETERS = (
    '{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],'
    '"additionalProperties":false}'
)
Schema = Annotated[Raw, Meta(description="A JSON schema.", extra_json_schema={"type": "object"})]
C = TypeVar("C")


class FunctionTool(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: Schema = field(default_factory=Raw)
    strict: bool | None = None


class CustomTool(msgspec.Struct):
    """A tool that takes plain text."""

    name: str
    description: str | None = None


class _CustomArguments(msgspec.Struct):
    input: str


def function_tool(tool: FunctionTool, path: str) -> Tool:
    return Tool(
        checked_name(tool.name, f"{path}.name"),
        tool.description or "",
        object_text(tool.parameters, f"{path}.parameters"),
        is_strict=bool(tool.strict),
    )


def custom_tool(tool: CustomTool, path: str) -> Tool:
    name = checked_name(tool.name, f"{path}.name")
    return Tool(name, tool.description or "", _CUSTOM_PARAMETERS, is_strict=True)


def custom_arguments(text: str) -> str:
    """The arguments of a custom tool's call that was given this text."""
    return msgspec.json.encode(_CustomArguments(text)).decode()


def custom_text(arguments: str) -> str:
    """The text of a call with these arguments; where they are no such object, they themselves."""
    text = FreeText()
    return text.push(arguments) + text.end()


def checked_name(name: str, path: str) -> str:
    if not _NAME.fullmatch(name):
        refuse(path, "must be up to 128 letters, digits and _ - . : /")
    return name


def read_choice(
    choice: str | C | None, tools: Sequence[Tool], read_object: Callable[[C], ToolChoice]
) -> ToolChoice:
    """A `tool_choice` of these tools.

    Raises InvalidRequest for a choice of what is not on offer.
    """
    if choice is None or choice in ("auto", "none"):
        return ToolChoice("none") if choice == "none" and tools else ToolChoice()
    if not tools:
        refuse("tool_choice", "chooses a tool, but none is on offer", "send a function in tools")
    if choice == "required":
        return ToolChoice("required")
    if isinstance(choice, str):
        refuse("tool_choice", "must be auto, none, required or an object that names a tool")
    return read_object(choice)


def choose_named(
    tools: Sequence[Tool], names: Sequence[str], path: str, *, must: bool
) -> ToolChoice:
    """A choice of tools by name.

    Raises InvalidRequest for a name that is not on offer.
    """
    offered = {tool.name for tool in tools}
    for name in names:
        if name not in offered:
            refuse(path, f"{name[:128]!r} is no tool of this request", "name one of its tools")
    return ToolChoice("required" if must else "auto", tuple(dict.fromkeys(names)))
