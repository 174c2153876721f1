"""What is said of models that have no place here any more, or never had one."""

from __future__ import annotations

from collections.abc import Sequence

from cortex.engine.errors import InsufficientVram, MemoryShortage

from ..units import memory
from .books import DeviceBooks
from .leaving import LeaveReason
from .turns import Refused, Wanted


def no_place(wanted: Wanted, refused: Refused, books: Sequence[DeviceBooks]) -> InsufficientVram:
    """With the reason at each device; only one that no device could ever hold is final."""
    names = {device.index: device.name for device in books}
    reasons = [f"{names[index]}: {why.words}" for index, why in refused.reasons]
    is_final = all(why.reason == "too large" for _, why in refused.reasons)
    least_bytes = wanted.need.sizes[-1].num_bytes
    short_bytes = min((why.short_bytes for _, why in refused.reasons), default=least_bytes)
    hint = "choose a smaller model, or give it more memory with --memory"
    return InsufficientVram(
        f"'{wanted.need.id}' has no place here; {'; '.join(reasons) or 'no device may hold it'}",
        hint if is_final else "unload or unpin one of those that are in its way",
        shortage=MemoryShortage(least_bytes, least_bytes - short_bytes, is_final),
    )


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
        case "asked":
            what, why = "unloaded", "as asked"
    return what, f"{what} {model_id} {why} (frees {memory(num_bytes)})"
