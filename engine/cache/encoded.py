"""Encoded pictures by the hash of their pixels, so that none is encoded again while it is kept.

What is asked for together, by a chunk of a prompt, is there together; whatever else there is room
for is kept, and goes in order of use. One that went and is wanted again, as where several requests
show many, is encoded again. Nobody holds anything beyond that, so that nobody waits for
anybody's pictures. Payloads are opaque; belongs to the thread of the device.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from ..errors import InternalError

R = TypeVar("R")


class EncoderCache(Generic[R]):
    """The rows of pictures, under a byte budget."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self.used_bytes = 0
        # With their bytes, in order of use.
        self._kept: OrderedDict[bytes, tuple[R, int]] = OrderedDict()

    def rows(self, pictures: Mapping[bytes, int], encode: Callable[[bytes], R]) -> dict[bytes, R]:
        """The rows of pictures, by hash with the bytes that their rows take; what is not there is
        encoded, when there is room for all of them.

        Raises InternalError where there can be none, and what `encode` raises.
        """
        self._make_room(pictures)
        for image_hash, num_bytes in pictures.items():
            if image_hash not in self._kept:
                self._kept[image_hash] = encode(image_hash), num_bytes
                self.used_bytes += num_bytes
            self._kept.move_to_end(image_hash)
        return {image_hash: self._kept[image_hash][0] for image_hash in pictures}

    def _make_room(self, wanted: Mapping[bytes, int]) -> None:
        """Let others go, those used longest ago first; nothing that is wanted itself."""
        if sum(wanted.values()) > self._budget_bytes:
            raise InternalError(
                f"{sum(wanted.values())} bytes of pictures are wanted together, where"
                f" {self._budget_bytes} are there for them"
            )
        missing_bytes = sum(size for each, size in wanted.items() if each not in self._kept)
        others = [image_hash for image_hash in self._kept if image_hash not in wanted]
        for image_hash in others:
            if self.used_bytes + missing_bytes <= self._budget_bytes:
                return
            _, num_bytes = self._kept.pop(image_hash)
            self.used_bytes -= num_bytes
