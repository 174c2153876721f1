"""The `input` of a Responses body, taken apart into its items.

It knows where each stands and of what kind it is; what they say together is `conversation.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from cortex.engine.errors import UnsupportedContent

from ..asked import Limits
from ..decoding import check_count, first_char, read_raw, refuse
from .body import Kind, MoreTools


@dataclass(frozen=True, slots=True)
class InputItem:
    """One item, not yet read further than its type."""

    path: str
    type: str
    raw: msgspec.Raw


def split_input(raw: msgspec.Raw, limits: Limits) -> str | list[InputItem]:
    """A text, or the items.

    Raises InvalidRequest for anything else, and for a list element that is no object.
    """
    if first_char(raw) == '"':
        return read_raw(raw, str, "input")
    if first_char(raw) != "[":
        refuse("input", "required: a string or a list of items")
    items = read_raw(raw, list[msgspec.Raw], "input")
    check_count("input", items, limits.max_messages)
    return [_read_kind(item, f"input[{index}]") for index, item in enumerate(items)]


def added_tools(items: str | list[InputItem]) -> dict[str, Sequence[msgspec.Raw]]:
    """The tools that stand among the items, by the path of each list."""
    lists: dict[str, Sequence[msgspec.Raw]] = {}
    for item in items:
        if isinstance(item, InputItem) and item.type == "additional_tools":
            lists[f"{item.path}.tools"] = read_raw(item.raw, MoreTools, item.path).tools or ()
    return lists


def _read_kind(raw: msgspec.Raw, path: str) -> InputItem:
    kind = read_raw(raw, Kind, path)
    if kind.type is None and kind.role is not None:
        return InputItem(path, "message", raw)
    # A reference may be as short as the id alone.
    if kind.type == "item_reference" or (kind.type is None and kind.id is not None):
        raise UnsupportedContent(
            f"{path}: refers to an item of before, but nothing is stored here",
            "set `store: false`, so that your client sends whole items"
            " (AI SDK: `providerOptions.openai.store`)",
            param=path,
        )
    return InputItem(path, kind.type or "", raw)
