"""What is said of models that have no place, on the devices of one peer or at any of those that
were asked, and of models that lose theirs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set

from cortex.engine.errors import (
    ContextLengthExceeded,
    CortexError,
    InsufficientVram,
    MemoryShortage,
)

from ..units import memory
from .books import DeviceBooks
from .leaving import LeaveReason
from .plan import Reason
from .turns import Refused, Wanted

_HERE = "has no place here; "
_MAX_NAMED = 8
# Of `long_text.too_long`, as every peer says it.
_MAXIMUM = re.compile(r"> (\d{1,9}) maximum")


def no_place(wanted: Wanted, refused: Refused, books: Sequence[DeviceBooks]) -> InsufficientVram:
    """With the reason at each device; only one that no device could ever hold is final."""
    names = {device.index: device.name for device in books}
    reasons = [f"{names[index]}: {why.words}" for index, why in refused.reasons]
    kinds: set[Reason] = {why.reason for _, why in refused.reasons}
    is_final = kinds <= {"too large"}
    least_bytes = wanted.need.sizes[-1].num_bytes
    short_bytes = min((why.short_bytes for _, why in refused.reasons), default=least_bytes)
    return InsufficientVram(
        f"'{wanted.need.id}' {_HERE}{'; '.join(reasons) or 'no device may hold it'}",
        _next_step(kinds, any(device.is_of_start for device in books)),
        shortage=MemoryShortage(least_bytes, least_bytes - short_bytes, is_final),
    )


def _next_step(kinds: Set[Reason], are_of_start: bool) -> str:
    if kinds <= {"too large"}:
        again = "; restart its peer if more is free by now" if are_of_start else ""
        return f"choose a smaller model, or give it more memory with --memory{again}"
    if kinds <= {"too large", "foreign"}:
        return "end what else uses the device"
    return "unload or unpin one of those that are in its way"


def leaving(model_id: str, reason: LeaveReason, wanted: str, num_bytes: int) -> tuple[str, str]:
    """A model that goes: a word for programs, and a sentence. Evicted is one that has to."""
    match reason:
        case "lru" | "priority":
            what, why = "evicted", f"to make room for {wanted}"
        case "home":
            what, why = "evicted", f"for {wanted}, whose place this is"
        case "foreign":
            what, why = "evicted", "because other programs took the memory"
        case "idle":
            what, why = "unloaded", "after nobody had used it for long"
        case "changed":
            what, why = "unloaded", "because it has changed"
        case "small":
            what, why = "unloaded", "to load it again with more context"
        case "asked":
            what, why = "unloaded", "as asked"
    return what, f"{what} {model_id} {why} (frees {memory(num_bytes)})"


def nowhere(model_id: str, said: Sequence[tuple[str, CortexError]]) -> CortexError:
    """What those said who were asked, each by its name; once, where all found the same wrong.

    One that lacks memory alone may have it later: then that is what it is an error of. Else it is
    one of the last one's kind.
    """
    if len(said) == 1:
        return said[0][1]
    last = said[-1][1]
    if all(isinstance(error, ContextLengthExceeded) for _, error in said):
        # Clients read the number; of those that say none the last one had the most.
        return max((error for _, error in reversed(said)), key=_most_tokens)
    short = [error for _, error in said if isinstance(error, InsufficientVram)]
    if not short and len({error.message for _, error in said}) == 1:
        return last
    if not short:
        return type(last)(f"no peer serves '{model_id}' now: {each_of(said)}", last.hint)
    shortages = [error.shortage for error in short if error.shortage is not None]
    is_final = len(shortages) == len(said) and all(one.is_final for one in shortages)
    nearest = min(shortages, key=lambda one: one.required_bytes - one.available_bytes, default=None)
    waits_s = [error.retry_after_s for error in short if error.retry_after_s is not None]
    return InsufficientVram(
        f"'{model_id}' has no place {'in this fleet' if is_final else 'now'}: {each_of(said)}",
        "wish for less context, or give it a larger device" if is_final else short[-1].hint,
        shortage=nearest
        and MemoryShortage(nearest.required_bytes, nearest.available_bytes, is_final),
        retry_after_s=min(waits_s, default=None),
    )


def _most_tokens(error: CortexError) -> int:
    found = _MAXIMUM.search(error.message)
    return int(found[1]) if found else 0


def each_of(said: Sequence[tuple[str, CortexError]]) -> str:
    named = [
        f"{name}: {error.message.partition(_HERE)[2] or error.message}" for name, error in said
    ]
    more = f"; and {len(named) - _MAX_NAMED} more" if len(named) > _MAX_NAMED else ""
    return "; ".join(named[:_MAX_NAMED]) + more
