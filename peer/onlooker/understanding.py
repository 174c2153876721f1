"""What a peer told, read; and the error for what no peer of this version can have told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..errors import NoPeer

T = TypeVar("T")


def understood(read: Callable[[Mapping[str, Any]], T], told: Mapping[str, Any]) -> T:
    """Raises NoPeer where the reader finds what cannot be."""
    try:
        return read(told)
    except ValueError as error:
        raise NoPeer(
            f"what the peer tells cannot be read ({error})",
            "compare its version with this one: cortex status --wide",
        ) from error
