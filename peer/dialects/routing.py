"""Which conversation a request belongs to: a hint for placing it where its prefix lies.

Never a reason to refuse a request, and no secret; it is hashed before it is logged anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

_MAX_CHARS = 256
_HEADERS = (
    "x-session-affinity",
    "x-session-id",
    "session-id",
    "session_id",
    "thread-id",
    "x-claude-code-session-id",
)


class _UserId(msgspec.Struct):
    session_id: str = ""


def header_key(headers: Mapping[str, str]) -> str:
    """Bytes of a header that are no UTF-8 come as half characters, which no peer could be sent."""
    key = first_key(*(headers.get(name) for name in _HEADERS))
    return key.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def first_key(*candidates: object) -> str:
    """The first that is a string and not empty."""
    for value in candidates:
        if isinstance(value, str) and value:
            return value[:_MAX_CHARS]
    return ""


def user_key(metadata: object) -> str:
    """That of the user in a body's metadata, whatever that is."""
    fields = cast(dict[str, object], metadata) if isinstance(metadata, dict) else {}
    return _session_in(fields.get("user_id"))


def _session_in(user_id: object) -> str:
    """A user id may be JSON text that holds the session's."""
    if not isinstance(user_id, str):
        return ""
    if not user_id.startswith("{"):
        return user_id
    try:
        return msgspec.json.decode(user_id, type=_UserId).session_id or user_id
    except (ValueError, RecursionError):
        return user_id
