"""Arguments of calls as clients send them back: not all of them are JSON.

An answer may have been cut off in the middle of a call, or a model wrote it wrongly. Its client
sends the call again with every later turn, and that must not be the end of the conversation.
"""

from __future__ import annotations

import msgspec

from .decoding import without_lone_halves


class _Unreadable(msgspec.Struct):
    arguments: str


def object_arguments(text: str) -> str:
    """The JSON text of an object: this one, or one that holds it."""
    if not text.strip():
        return "{}"
    text = without_lone_halves(text.encode()).decode()
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        return msgspec.json.encode(_Unreadable(text)).decode()
    return text
