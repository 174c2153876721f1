"""The `messages` of a chat-completions body as our Messages.

It reads every role and part form the dialect has, and drops what must not reach the template. It
does not know which model will read them.
"""

from __future__ import annotations

import json

from cortex.engine.errors import InvalidRequest, UnsupportedContent
from cortex.engine.types import ImagePart, Message, Role, TextPart, ToolCall

from .data_uri import read_data_uri
from .fields import Fields, as_fields, refuse, without_lone_halves
from .system_turns import fold_system_messages

# Even the smallest picture becomes some 200 kB of pixels: a body must not hold a million of them.
MAX_IMAGES = 64
# Each costs far more as an object than as the few bytes it can be written in.
_MAX_MESSAGES = 4096
_MAX_PARTS = 4096
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
# One agent's first system line carries a hash that changes with every conversation: it would
# break each prefix that could be reused, and says nothing to a model.
_VOLATILE_LINE = "x-anthropic-billing-header"

Part = TextPart | ImagePart


def read_messages(body: Fields) -> tuple[Message, ...]:
    """All turns, in order.

    Raises InvalidRequest and friends, naming the field.
    """
    items = body.items("messages")
    if not items:
        refuse("messages", "required, and not empty")
    _check_count("messages", items, _MAX_MESSAGES)
    messages = fold_system_messages(
        [
            message
            for index, item in enumerate(items)
            if (message := _read_message(as_fields(item, f"messages[{index}]"))) is not None
        ]
    )
    if not messages:
        refuse("messages", "holds nothing to answer")
    if messages[-1].role == "assistant" and not messages[-1].tool_calls:
        raise UnsupportedContent(
            "messages: the last one is the assistant's, and going on with it is not built yet",
            "end with a user message",
            param="messages",
        )
    num_images = sum(isinstance(part, ImagePart) for m in messages for part in m.content)
    if num_images > MAX_IMAGES:
        refuse("messages", f"holds {num_images} pictures, at most {MAX_IMAGES} are taken")
    return messages


def _check_count(path: str, items: list[object], most: int) -> None:
    if len(items) > most:
        refuse(path, f"holds {len(items)} items, at most {most} are taken")


def _read_message(fields: Fields) -> Message | None:
    name = fields.text("role")
    role = _ROLES.get(name or "")
    if role is None:
        refuse(fields.path_of("role"), f"must be one of {', '.join(_ROLES)}")
    content = _read_content(fields, role)
    if role == "system":
        kept = tuple(part for part in content if not _is_volatile(part))
        return Message(role, kept) if kept or not content else None
    if role == "assistant":
        return Message(
            role, content, reasoning=_read_reasoning(fields), tool_calls=_read_calls(fields)
        )
    if role == "tool":
        call_id = fields.text("tool_call_id") or fields.text("name") or ""
        return Message(role, content, tool_call_id=call_id)
    return Message(role, content)


def _is_volatile(part: Part) -> bool:
    return isinstance(part, TextPart) and part.text.startswith(_VOLATILE_LINE)


def _read_content(fields: Fields, role: Role) -> tuple[Part, ...]:
    value = fields.raw("content")
    path = fields.path_of("content")
    if value is None:
        if role in ("assistant", "tool"):
            return ()
        refuse(path, "required: a string or a list of parts")
    if isinstance(value, str):
        return (TextPart(value),)
    items = fields.items("content") or []
    _check_count(path, items, _MAX_PARTS)
    return tuple(
        _read_part(as_fields(item, f"{path}[{index}]"), role) for index, item in enumerate(items)
    )


def _read_part(fields: Fields, role: Role) -> Part:
    kind = fields.text("type")
    if kind == "text":
        return TextPart(fields.text("text") or "")
    if kind == "refusal" and role == "assistant":
        return TextPart(fields.text("refusal") or "")
    if kind == "image_url" and role in ("user", "tool"):
        return _read_image(fields)
    if kind is None:
        refuse(fields.path_of("type"), "required")
    raise UnsupportedContent(
        f"{fields.path}: a part of type {kind[:40]!r} is not taken in a {role} message",
        "send text, and pictures as image_url parts of user messages",
        param=fields.path_of("type"),
    )


def _read_image(fields: Fields) -> ImagePart:
    value = fields.raw("image_url")
    path = fields.path_of("image_url")
    if not isinstance(value, str):
        value = as_fields(value, path).text("url")
        path = f"{path}.url"
    if value is None:
        refuse(path, "required")
    return ImagePart(read_data_uri(value, path))


def _read_reasoning(fields: Fields) -> str:
    for name in ("reasoning_content", "reasoning", "reasoning_text"):
        value = fields.raw(name)
        if isinstance(value, str):
            return value
    return ""


def _read_calls(fields: Fields) -> tuple[ToolCall, ...]:
    items = fields.items("tool_calls") or []
    path = fields.path_of("tool_calls")
    _check_count(path, items, _MAX_PARTS)
    return tuple(
        _read_call(as_fields(item, f"{path}[{index}]")) for index, item in enumerate(items)
    )


def _read_call(fields: Fields) -> ToolCall:
    function = fields.object("function")
    if function is None:
        refuse(fields.path_of("function"), "required")
    name = function.text("name")
    if not name:
        refuse(function.path_of("name"), "required")
    arguments = without_lone_halves(function.text("arguments") or "{}")
    _check_object(arguments, function.path_of("arguments"))
    return ToolCall(fields.text("id") or "", name, arguments)


def _check_object(text: str, path: str) -> None:
    try:
        value: object = json.loads(text)
    except ValueError:
        value = None
    except RecursionError:
        raise InvalidRequest(f"{path}: nested too deeply", param=path) from None
    if not isinstance(value, dict):
        refuse(path, "must be the JSON text of an object")
