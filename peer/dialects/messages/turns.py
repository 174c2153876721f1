"""The turns of a body as our Messages, and the system prompt in front of them.

System messages stay where they stand. A user's turn becomes its tool results, each a message of its
own, and then one message with the rest; an assistant's keeps thinking, text, calls.
"""

from __future__ import annotations

import itertools

from msgspec import Raw

from cortex.engine.types import ImagePart, Message, TextPart, ToolCall

from ..asked import Limits
from ..content import Content, check_images, without_volatile
from ..decoding import check_count, is_absent, refuse
from .blocks_in import Item, Thought, ToolResult, joined, read_content
from .body import PromptBody, Turn

_ROLES = ("user", "assistant", "system")
_BLANK_LINE = "\n\n"


def read_messages(body: PromptBody, limits: Limits) -> tuple[Message, ...]:
    """The whole conversation, in order.

    Raises InvalidRequest and friends, naming the field.
    """
    check_count("messages", body.messages, limits.max_messages)
    read = [_read_turn(turn, f"messages[{i}]", limits) for i, turn in enumerate(body.messages)]
    messages = list(_read_system(body.system, limits))
    for role, turns in itertools.groupby(read, key=lambda turn: turn[0]):
        items = tuple(item for _, items in turns for item in items)
        messages += _MAKERS[role](items)
    if not messages:
        refuse("messages", "holds nothing to answer")
    check_images("messages", messages, limits)
    return tuple(messages)


def _read_turn(turn: Turn, path: str, limits: Limits) -> tuple[str, tuple[Item, ...]]:
    if turn.role not in _ROLES:
        refuse(f"{path}.role", f"must be one of {', '.join(_ROLES)}")
    return turn.role, read_content(turn.content, turn.role, f"{path}.content", limits)


def _read_system(system: Raw, limits: Limits) -> tuple[Message, ...]:
    if is_absent(system):
        return ()
    return _system_messages(read_content(system, "system", "system", limits))


def _system_messages(items: tuple[Item, ...]) -> tuple[Message, ...]:
    """One, with a blank line between its blocks; none where nothing in it is for the model."""
    kept = without_volatile(_parts(items))
    texts = [part.text for part in kept if isinstance(part, TextPart) and part.text]
    return (Message("system", (TextPart(_BLANK_LINE.join(texts)),)),) if texts else ()


def _user_messages(items: tuple[Item, ...]) -> tuple[Message, ...]:
    results = tuple(
        Message("tool", item.parts, tool_call_id=item.call_id)
        for item in items
        if isinstance(item, ToolResult)
    )
    rest = joined(_parts(items), "\n")
    return results if results and not rest else (*results, Message("user", rest))


def _assistant_messages(items: tuple[Item, ...]) -> tuple[Message, ...]:
    """Text of several blocks is one text that something has cut: nothing comes between."""
    thoughts = [item.text for item in items if isinstance(item, Thought) and item.text]
    return (
        Message(
            "assistant",
            joined(_parts(items), ""),
            reasoning=_BLANK_LINE.join(thoughts),
            tool_calls=tuple(item for item in items if isinstance(item, ToolCall)),
        ),
    )


def _parts(items: tuple[Item, ...]) -> Content:
    return tuple(item for item in items if isinstance(item, TextPart | ImagePart))


_MAKERS = {
    "user": _user_messages,
    "assistant": _assistant_messages,
    "system": _system_messages,
}
