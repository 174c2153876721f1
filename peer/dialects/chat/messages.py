"""The `messages` of a chat-completions body as our Messages.

It reads every role and part form the dialect has, leaves each turn where it stands, and drops what
must not reach the template. It does not know which model will read them.
"""

from __future__ import annotations

from cortex.engine.types import Message, Role, ToolCall

from ..asked import Limits
from ..call_arguments import object_arguments
from ..content import PartTypes, check_images, read_content, without_volatile
from ..decoding import check_count, refuse
from ..offered_tools import custom_arguments
from .body import Call, ChatMessage

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}

_PART_TYPES = PartTypes(("text",), "image_url")


def read_messages(items: list[ChatMessage], limits: Limits) -> tuple[Message, ...]:
    """All turns, in order.

    Raises InvalidRequest and friends, naming the field.
    """
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
    content = read_content(item.content, _PART_TYPES, role, f"{path}.content", limits)
    if role == "system":
        kept = without_volatile(content)
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
        if isinstance(value, str) and value:
            return value
    return ""


def _read_call(call: Call, path: str) -> ToolCall:
    if call.custom is not None:
        return ToolCall(call.id or "", call.custom.name, custom_arguments(call.custom.input or ""))
    if call.function is None:
        refuse(f"{path}.function", "required")
    arguments = object_arguments(call.function.arguments or "")
    return ToolCall(call.id or "", call.function.name, arguments)
