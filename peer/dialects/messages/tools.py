"""The tools of a body, and which of them the model may or must call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from cortex.engine.types import Tool, ToolChoice

from ..asked import Limits
from ..decoding import check_count, is_absent, object_text, read_raw, refuse
from ..offered_tools import checked_name, choose_named
from .body import PromptBody, ToolChoiceWish, ToolDefinition


@dataclass(frozen=True, slots=True)
class OfferedTools:
    """`is_parallel`: an answer may call several."""

    tools: tuple[Tool, ...]
    choice: ToolChoice
    is_parallel: bool


def read_tools(body: PromptBody, limits: Limits) -> OfferedTools:
    """What is offered to the model; nothing where the choice is "none".

    Raises InvalidRequest, naming the field.
    """
    items = body.tools or []
    check_count("tools", items, limits.max_tools)
    tools = tuple(
        _read_tool(item, f"tools[{index}]")
        for index, item in enumerate(items)
        if not _is_run_by_server(item)
    )
    wish = body.tool_choice
    choice = _read_choice(wish, tools)
    if not tools or choice.mode == "none":
        return OfferedTools((), choice, is_parallel=True)
    is_single = wish is not None and bool(wish.disable_parallel_tool_use)
    return OfferedTools(tools, choice, is_parallel=not is_single)


def _is_run_by_server(item: ToolDefinition) -> bool:
    """Tools with a version in their type, which a model would have to know: nobody here runs them.

    With a schema they are tools like others.
    """
    return item.type not in (None, "custom") and is_absent(item.input_schema)


def _read_tool(item: ToolDefinition, path: str) -> Tool:
    if item.name is None:
        refuse(f"{path}.name", "required")
    if is_absent(item.input_schema):
        refuse(f"{path}.input_schema", "required: a JSON schema")
    return Tool(
        checked_name(item.name, f"{path}.name"),
        item.description or "",
        _object_schema(item.input_schema, f"{path}.input_schema"),
        is_strict=bool(item.strict),
    )


def _object_schema(schema: Raw, path: str) -> str:
    """The schema's text as sent; one that does not say of what type it is, is an object's."""
    text = object_text(schema, path)
    fields = read_raw(schema, dict[str, Raw], path)
    if "type" in fields:
        return text
    return msgspec.json.encode({"type": "object"} | fields).decode()


def _read_choice(wish: ToolChoiceWish | None, tools: Sequence[Tool]) -> ToolChoice:
    kind = "auto" if wish is None else wish.type
    if kind in ("auto", "none"):
        return ToolChoice("none") if tools and kind == "none" else ToolChoice()
    if wish is None or kind not in ("any", "tool"):
        refuse("tool_choice.type", "must be auto, any, tool or none")
    if not tools:
        refuse("tool_choice", "chooses a tool, but there are no tools")
    if kind == "any":
        return ToolChoice("required")
    if not wish.name:
        refuse("tool_choice.name", "required: the name of a tool")
    return choose_named(tools, [wish.name], "tool_choice.name", must=True)
