"""Encoded pictures by their hash: one that several requests or turns show is encoded once."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

Payload = TypeVar("Payload")


class EncoderLease(Generic[Payload]):
    """Rows in use: they stay until it is released."""

    def __init__(self, cache: EncoderCache[Payload], key: bytes, payload: Payload) -> None:
        self.payload = payload
        self._cache = cache
        self._key = key

    def release(self) -> None:
        self._cache._give_back(self._key)


class EncoderCache(Generic[Payload]):
    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._entries: OrderedDict[bytes, tuple[Payload, int]] = OrderedDict()
        self._leases: dict[bytes, int] = {}

    def lease(self, key: bytes) -> EncoderLease[Payload] | None:
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        self._leases[key] = self._leases.get(key, 0) + 1
        return EncoderLease(self, key, self._entries[key][0])

    def insert(self, key: bytes, payload: Payload, num_bytes: int) -> EncoderLease[Payload]:
        self._entries[key] = payload, num_bytes
        lease = self.lease(key)
        assert lease is not None
        return lease

    def _give_back(self, key: bytes) -> None:
        self._leases[key] -= 1
