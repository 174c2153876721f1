"""The tools of a Responses body: what is offered to the model, and whose calls those are.

A client may send tools in namespaces: to the model such a tool has one flat name, and its calls go
back to the client with the two names apart. Tools that a server would run are not offered: there is
none behind us that runs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from cortex.engine.types import Tool, ToolChoice

from ..asked import Limits
from ..decoding import check_count, first_char, is_absent, read_raw, refuse
from ..offered_tools import (
    CustomTool,
    FunctionTool,
    checked_name,
    choose_named,
    custom_tool,
    function_tool,
    read_choice,
)
from .body import ChosenTool, Kind, NamedTool, NamespaceTool

# Of what a server would run nothing may be called in any case.
_OFFERED = ("function", "custom")
_CHOICE = "tool_choice"


@dataclass(frozen=True, slots=True)
class ToolName:
    """What the client calls a tool. An `is_custom` one takes plain text in place of JSON."""

    name: str
    namespace: str = ""
    is_custom: bool = False


@dataclass(frozen=True, slots=True)
class Toolbox:
    """`names` are the client's, by those that the model knows; `flat_names` the other way round."""

    tools: tuple[Tool, ...] = ()
    names: Mapping[str, ToolName] = field(default_factory=dict[str, ToolName])
    flat_names: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])

    def flat(self, name: str, namespace: str = "") -> str:
        """What the model calls the tool, also one that is on offer no more."""
        return self.flat_names.get((namespace, name)) or _joined(name, namespace)

    def choice(self, raw: msgspec.Raw) -> ToolChoice:
        """The `tool_choice` of a body.

        Raises InvalidRequest for a choice of what is not on offer.
        """
        kind = str if first_char(raw) == '"' else ChosenTool
        chosen = None if is_absent(raw) else read_raw(raw, kind, _CHOICE)
        return read_choice(chosen, self.tools, self._read_chosen)

    def _read_chosen(self, chosen: ChosenTool) -> ToolChoice:
        if chosen.type != "allowed_tools":
            if chosen.type not in _OFFERED:
                what = f"{chosen.type[:40]!r} is not offered here"
                refuse(f"{_CHOICE}.type", what, "choose a function")
            return self._named([chosen], _CHOICE, must=True)
        path = f"{_CHOICE}.tools"
        if chosen.tools is None:
            refuse(path, "required")
        allowed = [tool for tool in chosen.tools if tool.type in _OFFERED]
        if not allowed and chosen.mode == "auto":
            return ToolChoice("none")
        if not allowed:
            refuse(path, "names no tool that is offered here")
        return self._named(allowed, path, must=chosen.mode == "required")

    def _named(self, chosen: Sequence[NamedTool], path: str, *, must: bool) -> ToolChoice:
        if not all(tool.name for tool in chosen):
            refuse(path, "must name a function")
        names = [self.flat(tool.name or "", tool.namespace or "") for tool in chosen]
        return choose_named(self.tools, names, path, must=must)


def read_tools(sources: Mapping[str, Sequence[msgspec.Raw]], limits: Limits) -> Toolbox:
    """Those of each list, by its path. A tool that is sent twice is offered once.

    Raises InvalidRequest, naming the field.
    """
    reader = _Reader(limits)
    for path, items in sources.items():
        reader.read(items, path)
    return Toolbox(tuple(reader.tools), reader.names, reader.flat_names)


class _Reader:
    def __init__(self, limits: Limits) -> None:
        self.tools: list[Tool] = []
        self.names: dict[str, ToolName] = {}
        self.flat_names: dict[tuple[str, str], str] = {}
        self._limits = limits

    def read(self, items: Sequence[msgspec.Raw], path: str, namespace: str = "") -> None:
        check_count(path, [*self.tools, *items], self._limits.max_tools)
        for index, item in enumerate(items):
            self._read(item, f"{path}[{index}]", namespace)

    def _read(self, item: msgspec.Raw, path: str, namespace: str) -> None:
        match read_raw(item, Kind, path).type:
            case None:
                refuse(f"{path}.type", "required")
            case "function":
                tool = read_raw(item, FunctionTool, path)
                self._add(ToolName(tool.name, namespace), function_tool(tool, path), path)
            case "custom":
                custom = read_raw(item, CustomTool, path)
                name = ToolName(custom.name, namespace, is_custom=True)
                self._add(name, custom_tool(custom, path), path)
            case "namespace" if not namespace:
                group = read_raw(item, NamespaceTool, path)
                self.read(group.tools, f"{path}.tools", checked_name(group.name, f"{path}.name"))
            case _:
                pass

    def _add(self, name: ToolName, tool: Tool, path: str) -> None:
        key = (name.namespace, name.name)
        if key in self.flat_names:
            return
        flat = _joined(name.name, name.namespace)
        while flat in self.names:
            flat += "_"
        self.flat_names[key] = checked_name(flat, f"{path}.name")
        self.names[flat] = name
        self.tools.append(msgspec.structs.replace(tool, name=flat))


def _joined(name: str, namespace: str) -> str:
    return f"{namespace}__{name}" if namespace else name
