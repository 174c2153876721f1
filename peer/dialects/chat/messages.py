"""The `messages` of a chat-completions body as our Messages.

It reads every role and part form the dialect has, leaves each turn where it stands, and drops what
must not reach the template. It does not know which model will read them.
"""

from __future__ import annotations

from cortex.engine.errors import UnsupportedContent
from cortex.engine.types import ImagePart, Message, Role, TextPart, ToolCall

from ..asked import Limits
from ..call_arguments import object_arguments
from ..counting import check_images
from ..custom_tools import arguments_of
from ..data_uri import read_data_uri
from ..decoding import (
    check_count,
    first_char,
    is_absent,
    read_raw,
    refuse,
)
from ..volatile import is_volatile
from .body import Call, ChatMessage, ImageUrl, Part

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}

Content = tuple[TextPart | ImagePart, ...]


def read_messages(items: list[ChatMessage], limits: Limits) -> tuple[Message, ...]:
    """All turns, in order.

    Raises InvalidRequest and friends, naming the field.
    """
    if not items:
        refuse("messages", "required, and not empty")
    check_count("messages", items, limits.max_messages)
    messages = tuple(
        message
        for index, item in enumerate(items)
        if (message := _read_message(item, f"messages[{index}]", limits)) is not None
    )
    if not messages:
        refuse("messages", "holds nothing to answer")
    check_images("messages", messages, limits)
    return messages


def _read_message(item: ChatMessage, path: str, limits: Limits) -> Message | None:
    role = _ROLES.get(item.role)
    if role is None:
        refuse(f"{path}.role", f"must be one of {', '.join(_ROLES)}")
    content = _read_content(item, role, path, limits)
    if role == "system":
        kept = tuple(part for part in content if not is_volatile(part))
        return Message(role, kept) if kept or not content else None
    if role == "assistant":
        calls = item.tool_calls or []
        check_count(f"{path}.tool_calls", calls, limits.max_parts)
        read = [_read_call(c, f"{path}.tool_calls[{i}]") for i, c in enumerate(calls)]
        if item.function_call is not None:
            # The old spelling of a single call, whose result goes by its name.
            old = Call(item.function_call.name, item.function_call)
            read.append(_read_call(old, f"{path}.function_call"))
        return Message(role, content, reasoning=_reasoning(item), tool_calls=tuple(read))
    if role == "tool":
        name = item.name if isinstance(item.name, str) else ""
        return Message(role, content, tool_call_id=item.tool_call_id or name)
    return Message(role, content)


def _reasoning(item: ChatMessage) -> str:
    for value in (item.reasoning_content, item.reasoning, item.reasoning_text):
        if isinstance(value, str):
            return value
    return ""


def _read_content(item: ChatMessage, role: Role, path: str, limits: Limits) -> Content:
    path = f"{path}.content"
    if item.content is None:
        if role in ("assistant", "tool"):
            return ()
        refuse(path, "required: a string or a list of parts")
    if isinstance(item.content, str):
        return (TextPart(item.content),)
    check_count(path, item.content, limits.max_parts)
    return tuple(_read_part(p, role, f"{path}[{i}]") for i, p in enumerate(item.content))


def _read_part(part: Part, role: Role, path: str) -> TextPart | ImagePart:
    if part.type == "text":
        return TextPart(part.text or "")
    if part.type == "refusal" and role == "assistant":
        return TextPart(part.refusal or "")
    if part.type == "image_url" and role in ("user", "tool"):
        return _read_image(part, f"{path}.image_url")
    raise UnsupportedContent(
        f"{path}: a part of type {part.type[:40]!r} is not taken in a {role} message",
        "send text, and pictures as image_url parts of user messages",
        param=f"{path}.type",
    )


def _read_image(part: Part, path: str) -> ImagePart:
    if is_absent(part.image_url):
        refuse(path, "required")
    if first_char(part.image_url) == '"':
        return ImagePart(read_data_uri(part.image_url, path))
    url = read_raw(part.image_url, ImageUrl, path).url
    if is_absent(url):
        refuse(f"{path}.url", "required")
    return ImagePart(read_data_uri(url, f"{path}.url"))


def _read_call(call: Call, path: str) -> ToolCall:
    if call.custom is not None:
        return ToolCall(call.id or "", call.custom.name, arguments_of(call.custom.input or ""))
    if call.function is None:
        refuse(f"{path}.function", "required")
    arguments = object_arguments(call.function.arguments or "")
    return ToolCall(call.id or "", call.function.name, arguments)
