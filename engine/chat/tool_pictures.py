"""Pictures in tool results, for templates that take them there and for those that do not.

Which do is found out by rendering one; for the others the pictures of a turn's results go into a
user message right behind these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from ..errors import InvalidRequest
from ..template import ChatTemplate
from ..types import ImagePart, Message, TextPart

_Part = TextPart | ImagePart
_BEFORE, _AFTER = "look here", "seen that"
_PICTURE = {"type": "image"}
_PARTS: list[dict[str, str]] = [
    {"type": "text", "text": _BEFORE},
    _PICTURE,
    {"type": "text", "text": _AFTER},
]
_ASKED: dict[str, Any] = {"role": "user", "content": "Show it."}
_CALL: dict[str, Any] = {
    "id": "lookup001",
    "type": "function",
    "function": {"name": "look_up", "arguments": {"key": "value"}},
}
_CALLED: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [_CALL]}


def takes_tool_pictures(template: ChatTemplate) -> bool:
    """Whether a picture in a result is spelt as one in a user's message, in its place."""
    shown = {"role": "user", "content": _PARTS}
    result = {"role": "tool", "content": _PARTS, "tool_call_id": "lookup001"}
    try:
        by_user = template.render([shown], now_s=0)
        by_tool = template.render([_ASKED, _CALLED, result], now_s=0)
    except InvalidRequest:
        return False
    start, end = by_user.find(_BEFORE), by_user.find(_AFTER)
    spelt = by_user[start : end + len(_AFTER)]
    # A template that knows nothing of parts prints them as they are in Python.
    return 0 <= start < end and spelt in by_tool and str(_PICTURE) not in spelt


def pictures_behind_results(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The same conversation without a picture in a tool result.

    They follow the results of their turn, at the head of the user's message that comes next or in
    one of their own, each result's behind a line that names its call.
    """
    turns: list[Message] = []
    names: dict[str, str] = {}
    waiting: list[_Part] = []
    for message in messages:
        names |= {call.id: call.name for call in message.tool_calls}
        if message.role == "tool":
            turns.append(replace(message, content=_texts(message)))
            led = _led_pictures(message, names)
            waiting += [TextPart("\n"), *led] if waiting and led else led
            continue
        if waiting and message.role == "user":
            message = replace(message, content=(*waiting, TextPart("\n\n"), *message.content))
        elif waiting:
            turns.append(Message("user", tuple(waiting)))
        waiting = []
        turns.append(message)
    return (*turns, Message("user", tuple(waiting))) if waiting else tuple(turns)


def _texts(message: Message) -> tuple[TextPart, ...]:
    return tuple(part for part in message.content if isinstance(part, TextPart))


def _led_pictures(result: Message, names: Mapping[str, str]) -> list[_Part]:
    pictures = [part for part in result.content if isinstance(part, ImagePart)]
    if not pictures:
        return []
    name = names.get(result.tool_call_id)
    call = result.tool_call_id if name is None else f"{name} ({result.tool_call_id})"
    return [TextPart(f"Pictures in the result of {call}:\n"), *pictures]
