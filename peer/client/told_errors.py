"""A peer's refusal over HTTP, as the error that it was there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from cortex.engine.errors import CortexError, ErrorInfo, MemoryShortage

from ..errors import InvalidApiKey, ModelAway, NoPeer, from_info
from ..onlooker.answers import answer_of
from .progress import split_hint


def error_of(reply: Mapping[str, Any], status: int) -> CortexError:
    """The error that a reply's JSON tells of."""
    told: Any = answer_of(reply.get("error"))
    if not isinstance(told, dict):
        return NoPeer(f"what answers is no cortex peer (status {status})", "check the address")
    fields = cast(dict[str, Any], told)
    param = fields.get("param")
    hint = str(fields.get("hint") or "")
    error = from_info(
        ErrorInfo(
            str(fields.get("code") or ""),
            split_hint(str(fields.get("message") or f"the peer answered {status}"), hint),
            hint,
            param if isinstance(param, str) else None,
            _shortage_of(fields),
            is_of_request=400 <= status < 500,
        )
    )
    # A peer's own hint is for programs that send headers.
    if isinstance(error, InvalidApiKey):
        kind = "an admin key" if "--admin" in error.hint else "a key"
        return InvalidApiKey(error.message, f"set CORTEX_API_KEY to {kind} of that peer")
    # Whoever says so is there itself: another one that is asked would find no more.
    if isinstance(error, NoPeer):
        return ModelAway(error.message, error.hint)
    return error


def _shortage_of(fields: Mapping[str, Any]) -> MemoryShortage | None:
    required, available = fields.get("required_bytes"), fields.get("available_bytes")
    if not isinstance(required, int) or not isinstance(available, int):
        return None
    is_final = fields.get("type") == "invalid_request_error"
    return MemoryShortage(required, available, is_final=is_final)
