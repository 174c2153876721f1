"""The `tools` of a chat-completions body, and which of them the model may choose from.

Pure. A choice that is forced on the model needs its tokens masked: not built yet, refused by name.
"""

from __future__ import annotations

import re

from cortex.engine.types import Tool

from .fields import Fields, as_fields, refuse
from .openai_sampling import not_built

# Each costs far more as an object than as the few bytes it can be written in.
_MAX_TOOLS = 1024
# Models write a name inside their own markup: what would end it there is no part of a name.
_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")


def read_tools(body: Fields) -> tuple[Tool, ...]:
    """The tools that are offered to the model; none where the choice is "none".

    Raises InvalidRequest or UnsupportedParameter, naming the field.
    """
    if body.items("functions"):
        not_built("functions", "the old spelling of tools is not taken", "send tools")
    items = body.items("tools") or []
    if len(items) > _MAX_TOOLS:
        refuse("tools", f"holds {len(items)} items, at most {_MAX_TOOLS} are taken")
    tools = tuple(
        _read_tool(as_fields(item, f"tools[{index}]")) for index, item in enumerate(items)
    )
    if body.raw("function_call") not in (None, "auto", "none"):
        refuse("function_call", "chooses a function, but there are no functions")
    return tools if _may_call(body, has_tools=bool(tools)) else ()


def _read_tool(fields: Fields) -> Tool:
    kind = fields.text("type")
    if kind == "custom":
        path = fields.path_of("type")
        not_built(path, "custom tools are not built yet", "send a function with a schema")
    if kind != "function":
        refuse(fields.path_of("type"), "must be function")
    function = fields.object("function")
    if function is None:
        refuse(fields.path_of("function"), "required")
    name = function.text("name")
    if not name or not _NAME.fullmatch(name):
        refuse(function.path_of("name"), "must be up to 128 letters, digits and _ - . : /")
    return Tool(name, function.text("description") or "", function.json_text("parameters"))


def _may_call(body: Fields, *, has_tools: bool) -> bool:
    choice = body.raw("tool_choice")
    if choice in (None, "auto", "none"):
        return choice != "none"
    if not has_tools:
        refuse("tool_choice", "chooses a tool, but there are no tools")
    kind = choice if isinstance(choice, str) else as_fields(choice, "tool_choice").text("type")
    if kind not in ("required", "function", "allowed_tools", "custom"):
        refuse("tool_choice", "must be auto, none, required or an object that names a tool")
    not_built("tool_choice", f"{kind} is not built yet", "leave the choice to the model: auto")
