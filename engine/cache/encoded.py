"""Encoded pictures by the hash of their pixels, so that each is encoded once.

Who needs pictures, for a chunk of its prompt or for all of it, leases them at once: their bytes are
spoken for before the first one is encoded, and stay until they are spliced in. So two sequences
never wait for each other's pictures. What nobody leases is kept as long as there is room, and goes
in order of use. Payloads are opaque; belongs to the thread of the device.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..errors import InternalError

R = TypeVar("R")


@dataclass(slots=True)
class _Entry(Generic[R]):
    num_bytes: int
    rows: R | None = None
    num_leases: int = 0


@dataclass(frozen=True, slots=True)
class EncoderStats:
    """Of `num_wanted` pictures leased `num_found` were encoded already."""

    num_wanted: int
    num_found: int
    num_evictions: int
    used_bytes: int
    budget_bytes: int


class EncoderCache(Generic[R]):
    """The rows of pictures, under a byte budget."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._used_bytes = 0
        # In order of use; what is leased stands anywhere.
        self._entries: OrderedDict[bytes, _Entry[R]] = OrderedDict()
        self._num_wanted = 0
        self._num_found = 0
        self._num_evictions = 0

    @property
    def stats(self) -> EncoderStats:
        return EncoderStats(
            self._num_wanted,
            self._num_found,
            self._num_evictions,
            self._used_bytes,
            self._budget_bytes,
        )

    def lease(self, images: Mapping[bytes, int]) -> ImageLease[R] | None:
        """Room for pictures, by hash with the bytes of their rows; None if it is not there now.

        Every picture leased is `rows`, or None until somebody encodes it and calls `fill`.
        """
        missing_bytes = sum(size for h, size in images.items() if h not in self._entries)
        if not self._make_room(missing_bytes, images):
            return None
        for image_hash, num_bytes in images.items():
            entry = self._entries.get(image_hash)
            if entry is None:
                entry = self._entries[image_hash] = _Entry(num_bytes)
                self._used_bytes += num_bytes
            entry.num_leases += 1
            self._num_wanted += 1
            self._num_found += entry.rows is not None
        return ImageLease(self, self._entries, list(images))

    def give_back(self, image_hash: bytes) -> None:
        """One lease less on a picture; `ImageLease` calls it."""
        entry = self._entries[image_hash]
        entry.num_leases -= 1
        self._entries.move_to_end(image_hash)
        if entry.rows is None and not entry.num_leases:
            self._remove(image_hash)

    def check_integrity(self) -> None:
        """Raise InternalError where bytes are miscounted or something empty is kept for nobody."""
        num_bytes = sum(entry.num_bytes for entry in self._entries.values())
        if num_bytes != self._used_bytes or num_bytes > self._budget_bytes:
            raise InternalError(
                f"{num_bytes} bytes of pictures are kept, {self._used_bytes} are in the books"
            )
        if any(e.num_leases < 1 and e.rows is None for e in self._entries.values()):
            raise InternalError("a picture that was never encoded is kept for nobody")

    def _make_room(self, num_bytes: int, wanted: Mapping[bytes, int]) -> bool:
        """Evict what it takes, if that is enough; what is wanted itself does not go."""
        excess_bytes = self._used_bytes + num_bytes - self._budget_bytes
        victims: list[bytes] = []
        for image_hash, entry in self._entries.items():
            if excess_bytes <= 0:
                break
            if not entry.num_leases and image_hash not in wanted:
                victims.append(image_hash)
                excess_bytes -= entry.num_bytes
        if excess_bytes > 0:
            return False
        for image_hash in victims:
            self._num_evictions += 1
            self._remove(image_hash)
        return True

    def _remove(self, image_hash: bytes) -> None:
        self._used_bytes -= self._entries.pop(image_hash).num_bytes


class ImageLease(Generic[R]):
    """A hold on pictures; a context manager that gives them back."""

    def __init__(
        self, cache: EncoderCache[R], entries: Mapping[bytes, _Entry[R]], hashes: list[bytes]
    ) -> None:
        self._cache = cache
        self._entries = entries
        self._hashes = hashes

    def rows(self, image_hash: bytes) -> R | None:
        """A picture's rows; None while nobody has encoded it, this holder or another."""
        return self._entry(image_hash).rows

    def fill(self, image_hash: bytes, rows: R) -> None:
        self._entry(image_hash).rows = rows

    def release(self, image_hash: bytes) -> None:
        """One picture is spliced in and no more needed. Twice is an error."""
        self._entry(image_hash)
        self._hashes.remove(image_hash)
        self._cache.give_back(image_hash)

    def release_all(self) -> None:
        """Every picture that is still held."""
        for image_hash in list(self._hashes):
            self.release(image_hash)

    def __enter__(self) -> ImageLease[R]:
        return self

    def __exit__(self, *_: object) -> None:
        self.release_all()

    def _entry(self, image_hash: bytes) -> _Entry[R]:
        if image_hash not in self._hashes:
            raise InternalError(f"picture {image_hash.hex()[:8]} is not held, or no longer")
        return self._entries[image_hash]
