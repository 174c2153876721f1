"""What is said to those whose model has no place anywhere here."""

from __future__ import annotations

from collections.abc import Sequence

from cortex.engine.errors import InsufficientVram, MemoryShortage

from .books import DeviceBooks
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
