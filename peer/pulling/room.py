"""The room on a peer's disk that its pulls have before them, so that no two count the same free
bytes. For one event loop: between the look and the claim nobody else has a turn.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True, eq=False)
class Claim:
    """`lacking_bytes` are still to be written of what one pull has room for."""

    lacking_bytes: int = 0


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


class Room:
    """What is free comes in as a function, of the folder that models come into."""

    def __init__(self, free_bytes: Callable[[Path], int] = _free_bytes) -> None:
        self._free_bytes = free_bytes
        self._claims: set[Claim] = set()

    @contextmanager
    def claimed(self) -> Generator[Claim]:
        """For a pull as long as it lasts, which says itself what it lacks."""
        claim = Claim()
        self._claims.add(claim)
        try:
            yield claim
        finally:
            self._claims.remove(claim)

    def free_bytes(self, folder: Path) -> int:
        return self._free_bytes(folder)

    def promised_bytes(self, claim: Claim) -> int:
        """What is free, and will not be: others than this one have still to write it."""
        return sum(other.lacking_bytes for other in self._claims if other is not claim)
