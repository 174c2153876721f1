"""How a simulated peer puts messages into datagrams: as they are, or sealed as a real one does.

Sealing costs time and changes nothing of what the cores say, so that only trials of keys and of
hostile datagrams ask for it.
"""

from __future__ import annotations

import random
from typing import Protocol

from cortex.peer.gossip.buckets import SourceBuckets
from cortex.peer.gossip.codec import pack, unpack
from cortex.peer.gossip.envelope import MIN_DATAGRAM_BYTES, Sealer
from cortex.peer.gossip.ids import ID_BYTES, BootId
from cortex.peer.gossip.messages import Message
from cortex.peer.gossip.receiving import Dropped, Receiver
from cortex.peer.keys.keyring import Keyring


class Mail(Protocol):
    def close(self, message: Message) -> bytes: ...

    def open(self, now_s: float, source: str, datagram: bytes) -> tuple[BootId, Message] | None: ...


class OpenMail:
    """The boot before the message, and as many empty bytes as an envelope would add."""

    def __init__(self, boot: BootId) -> None:
        self._boot = boot
        self._padding = bytes(MIN_DATAGRAM_BYTES - ID_BYTES)

    def close(self, message: Message) -> bytes:
        return self._boot + self._padding + pack(message)

    def open(self, now_s: float, source: str, datagram: bytes) -> tuple[BootId, Message]:
        return BootId(datagram[:ID_BYTES]), unpack(datagram[MIN_DATAGRAM_BYTES:])


class SealedMail:
    """With the keys of a ring, which may be changed while the peer runs."""

    def __init__(self, boot: BootId, ring: Keyring, now_s: float, rng: random.Random) -> None:
        self.ring = ring
        self.receiver = Receiver(ring, boot, SourceBuckets(now_s))
        self.sealer = Sealer(boot, rng.randbytes)

    def use(self, ring: Keyring) -> None:
        self.ring = ring
        self.receiver.use(ring)

    def close(self, message: Message) -> bytes:
        return self.sealer.seal(self.ring.primary, pack(message))

    def open(self, now_s: float, source: str, datagram: bytes) -> tuple[BootId, Message] | None:
        got = self.receiver.receive(now_s, source, datagram)
        return None if isinstance(got, Dropped) else (got.boot, got.message)
