"""The `tool_choice` of a Responses body: whether the model may, or must, call a tool, and which."""

from __future__ import annotations

from typing import NoReturn

import msgspec

from cortex.engine.types import ToolChoice

from ..decoding import first_char, is_absent, read_raw, refuse
from ..tool_names import choose_named
from .body import AllowedTools, ChosenTool
from .toolbox import Toolbox

_PATH = "tool_choice"
_OFFERED = ("function", "custom")


def read_choice(raw: msgspec.Raw, toolbox: Toolbox) -> ToolChoice | None:
    """None where nothing may be called.

    Raises InvalidRequest for a choice of what is not on offer.
    """
    is_object = first_char(raw) == "{"
    mode = "auto" if is_absent(raw) or is_object else read_raw(raw, str, _PATH)
    if not is_object and mode in ("auto", "none"):
        return None if mode == "none" or not toolbox.tools else ToolChoice()
    if not is_object and mode != "required":
        _refuse_form()
    if not toolbox.tools:
        refuse(_PATH, "chooses a tool, but none is on offer", "send a function in tools")
    return _read_object(raw, toolbox) if is_object else ToolChoice("required")


def _read_object(raw: msgspec.Raw, toolbox: Toolbox) -> ToolChoice | None:
    chosen = read_raw(raw, ChosenTool, _PATH)
    if chosen.type == "allowed_tools":
        return _allowed(read_raw(raw, AllowedTools, _PATH), toolbox)
    if chosen.type not in _OFFERED:
        refuse(f"{_PATH}.type", f"{chosen.type[:40]!r} is not offered here", "choose a function")
    return _named([chosen], toolbox, _PATH, must=True)


def _allowed(allowed: AllowedTools, toolbox: Toolbox) -> ToolChoice | None:
    """Of tools that a server would run, none may be called in any case."""
    path = f"{_PATH}.tools"
    chosen = [tool for tool in allowed.tools if tool.type in _OFFERED]
    if not chosen and allowed.mode == "auto":
        return None
    if not chosen:
        refuse(path, "names no tool that is offered here")
    return _named(chosen, toolbox, path, must=allowed.mode == "required")


def _named(chosen: list[ChosenTool], toolbox: Toolbox, path: str, *, must: bool) -> ToolChoice:
    for tool in chosen:
        if not tool.name:
            refuse(path, "must name a function")
    names = [toolbox.flat(tool.name or "", tool.namespace or "") for tool in chosen]
    return choose_named(toolbox.tools, names, path, must=must)


def _refuse_form() -> NoReturn:
    refuse(_PATH, "must be auto, none, required or an object that names a tool")
