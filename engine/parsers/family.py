"""How a model marks up its answers, found out from its chat template.

A template has to write earlier answers the way the model would have written them: so it is made to
write one with a call, and what it writes is looked at. No list of model names; a model whose
template shows no spelling that is known here answers in plain text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from msgspec.structs import replace

from ..errors import CortexError
from ..template import ChatTemplate
from ..types import ReplyFormat, Tool
from .reply import CALL, THINK, THINK_END
from .xml_call import FUNCTION

_SPACE = " \t\r\n"
_NAME = "look_up"
_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": _NAME,
        "description": "Look something up.",
        "parameters": {"type": "object", "properties": {"key": {"type": "string"}}},
    },
}
# Nine letters or digits: one family's template takes no other ids.
_CALLED: dict[str, Any] = {
    "id": "lookup001",
    "type": "function",
    "function": {"name": _NAME, "arguments": {"key": "value"}},
}
_CONVERSATION: list[dict[str, Any]] = [
    {"role": "user", "content": "Look it up."},
    {"role": "assistant", "content": "", "tool_calls": [_CALLED]},
]


@dataclass(frozen=True, slots=True)
class ReplyFamily:
    """What a model's answers may hold, whatever the prompt."""

    thinks: bool = False
    calls: Literal["none", "json", "xml"] = "none"


def find_family(template: ChatTemplate) -> ReplyFamily:
    return ReplyFamily(thinks=THINK_END in template.source, calls=_calls(template))


def reply_format(
    family: ReplyFamily,
    rendered: str,
    tools: Iterable[Tool],
    *,
    takes_one_call: bool,
    begun: str = "",
) -> ReplyFormat:
    """How the answer to a rendered prompt is to be read, which goes on behind what is `begun`."""
    reasoning = _reasoning_in(begun) if begun else _reasoning_behind(rendered, family)
    offered = tuple(replace(tool, description="") for tool in tools)
    if not offered or family.calls == "none":
        return ReplyFormat(reasoning)
    return ReplyFormat(reasoning, family.calls, offered, takes_one_call)


def _reasoning_in(begun: str) -> Literal["none", "open"]:
    """Past its first words an answer thinks only where they have opened the block."""
    return "open" if begun.rfind(THINK) > begun.rfind(THINK_END) else "none"


def _reasoning_behind(rendered: str, family: ReplyFamily) -> Literal["none", "may_open", "open"]:
    """Many templates open the block themselves, or close it at once where none is wanted."""
    end = rendered.rstrip(_SPACE)
    if end.endswith(THINK_END):
        return "none"
    if end.endswith(THINK):
        return "open"
    return "may_open" if family.thinks else "none"


def _calls(template: ChatTemplate) -> Literal["none", "json", "xml"]:
    try:
        written = template.render(_CONVERSATION, tools=[_TOOL], now_s=0)
    except CortexError:  # it takes no calls, or none like this one
        return "none"
    # The last one: instructions on how to call may stand before it.
    _, mark, body = written.rpartition(CALL)
    body = body.lstrip(_SPACE)
    if not mark or _NAME not in body:
        return "none"
    if body.startswith(FUNCTION + _NAME):
        return "xml"
    return "json" if body.startswith("{") else "none"
