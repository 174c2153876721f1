"""The `tools` of a chat-completions body, and which of them the model may or must call."""

from __future__ import annotations

from dataclasses import dataclass, field

from cortex.engine.types import Tool, ToolChoice

from ..asked import Limits
from ..decoding import check_count, refuse
from ..offered_tools import choose_named, custom_tool, function_tool, read_choice
from ..sampling import unsupported
from .body import AllowedTools, ChatBody, ChatTool, ChosenTool


@dataclass(frozen=True, slots=True)
class OfferedTools:
    """`custom_names` are those whose calls are told as free text."""

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = field(default_factory=ToolChoice)
    custom_names: frozenset[str] = frozenset()


def read_tools(body: ChatBody, limits: Limits) -> OfferedTools:
    """The tools that are offered to the model; none where the choice is "none".

    Raises InvalidRequest or UnsupportedParameter, naming the field.
    """
    if body.functions:
        unsupported("functions", "the old spelling of tools is not taken", "send tools")
    if body.function_call not in (None, "auto", "none"):
        refuse("function_call", "chooses a function, but there are no functions")
    items = body.tools or []
    check_count("tools", items, limits.max_tools)
    tools = tuple(_read_tool(item, f"tools[{index}]") for index, item in enumerate(items))
    choice = read_choice(body.tool_choice, tools, lambda chosen: _read_chosen(chosen, tools))
    if choice.mode == "none":
        return OfferedTools(choice=choice)
    custom_names = frozenset(
        item.custom.name for item in items if item.type == "custom" and item.custom
    )
    return OfferedTools(tools, choice, custom_names)


def _read_tool(item: ChatTool, path: str) -> Tool:
    if item.type == "custom":
        if item.custom is None:
            refuse(f"{path}.custom", "required")
        return custom_tool(item.custom, f"{path}.custom")
    if item.type != "function":
        refuse(f"{path}.type", "must be function or custom")
    if item.function is None:
        refuse(f"{path}.function", "required")
    return function_tool(item.function, f"{path}.function")


def _read_chosen(choice: ChosenTool, tools: tuple[Tool, ...]) -> ToolChoice:
    if choice.allowed_tools is not None:
        return _allowed(choice.allowed_tools, tools)
    named = choice.function or choice.custom
    if named is None:
        refuse("tool_choice", "must be auto, none, required or an object that names a tool")
    return choose_named(tools, [named.name], "tool_choice", must=True)


def _allowed(allowed: AllowedTools, tools: tuple[Tool, ...]) -> ToolChoice:
    path = "tool_choice.allowed_tools.tools"
    names: list[str] = []
    for index, item in enumerate(allowed.tools):
        named = item.function or item.custom
        if named is None:
            refuse(f"{path}[{index}]", "must name a function")
        names.append(named.name)
    if not names:
        refuse(path, "must not be empty")
    return choose_named(tools, names, path, must=allowed.mode == "required")
