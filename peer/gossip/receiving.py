"""What becomes of a datagram: a message from a holder of the fleet key, or a reason to drop it.

The rules are asked in their order, the cheap ones first; the first that is broken is the reason.
Nothing that comes raises, and what is kept of senders is bounded. Whether a message is fresh enough
to be believed is asked by whoever keeps the sessions: `is_first` says when there can be none yet.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ..keys.fleet_key import FleetKey
from ..keys.keyring import Keyring
from .buckets import PER_SOURCE_S, FailureBuckets, SourceBuckets, TokenBucket
from .codec import MessageError, UnknownType, unpack
from .envelope import (
    MAGIC,
    MAX_DATAGRAM_BYTES,
    MIN_DATAGRAM_BYTES,
    VERSION_AND_SUITE,
    Header,
    cipher_of,
    open_with,
    read_header,
)
from .ids import BootId
from .messages import Message
from .replay import ReplayWindow

# Twice the peers of the largest fleet: each may restart before the first old run is forgotten.
MAX_SENDERS = 40_000
_LOG_EVERY_S = 60.0


class Cause(StrEnum):
    """Why a datagram was dropped, in the order in which it is asked."""

    LENGTH = "length"
    MAGIC = "magic"
    VERSION = "version"
    KEY = "key"
    OWN = "own"
    FLOOD = "flood"
    SEAL = "seal"
    RETIRED = "retired"
    REPLAY = "replay"
    MALFORMED = "malformed"
    TYPE = "type"


@dataclass(frozen=True, slots=True)
class Received:
    boot: BootId
    message: Message
    # Nothing was held of this run of the sender: sessions with it, if any, are over.
    is_first: bool


@dataclass(frozen=True, slots=True)
class Dropped:
    """`key` is the retired one that the sender still uses: under it, it can be told so."""

    cause: Cause
    key: FleetKey | None = None


class _Sender:
    """One run of a peer, known by a datagram that a trusted key opened."""

    def __init__(self, now_s: float) -> None:
        # By the key's name: the sender may change over to another one while it runs.
        self.ciphers: dict[bytes, ChaCha20Poly1305] = {}
        # One for all keys, because the sender counts on. It belongs to the run and not to the pair
        # of node and run: the node stands in the message, and eight random bytes do not meet twice.
        self.window = ReplayWindow()
        self.bucket = TokenBucket(PER_SOURCE_S, now_s)
        self.was_heard = False


class Receiver:
    def __init__(
        self,
        keyring: Keyring,
        own_boot: BootId,
        buckets: SourceBuckets,
        max_senders: int = MAX_SENDERS,
    ) -> None:
        self.counts: Counter[Cause] = Counter()
        self._buckets = buckets
        self._failures = FailureBuckets()
        self._max_senders = max_senders
        self._own_boot = own_boot
        self._senders: OrderedDict[BootId, _Sender] = OrderedDict()
        self.use(keyring)

    def use(self, keyring: Keyring) -> None:
        """Trust the keys of this ring from now on, and no others."""
        self._trusted = {key.key_id: key for key in keyring.trusted}
        self._retired = {key.key_id: key for key in keyring.retired}

    def receive(self, now_s: float, source: str, datagram: bytes) -> Received | Dropped:
        """What came from that IP address. Never raises."""
        got = self._judged(now_s, source, datagram)
        if isinstance(got, Dropped):
            self.counts[got.cause] += 1
        return got

    def _judged(self, now_s: float, source: str, datagram: bytes) -> Received | Dropped:
        if not MIN_DATAGRAM_BYTES <= len(datagram) <= MAX_DATAGRAM_BYTES:
            return Dropped(Cause.LENGTH)
        header = read_header(datagram)
        if header.magic != MAGIC:
            return Dropped(Cause.MAGIC)
        if header.version_and_suite != VERSION_AND_SUITE:
            return Dropped(Cause.VERSION)
        return self._judged_key(now_s, source, header, datagram)

    def _judged_key(
        self, now_s: float, source: str, header: Header, datagram: bytes
    ) -> Received | Dropped:
        trusted = self._trusted.get(header.key_id)
        key = trusted or self._retired.get(header.key_id)
        if key is None:
            return Dropped(Cause.KEY)
        if header.boot == self._own_boot:
            return Dropped(Cause.OWN)
        known = self._senders.get(BootId(header.boot))
        held = known.ciphers.get(header.key_id) if known and trusted else None
        # Who is known has a bucket of its own, which only the key's holders empty: a stranger must
        # not silence a member by the name of its run, and by its address only while he sends more
        # than can be looked into.
        if held is None:
            is_flood = not self._buckets.take(now_s, source)
        else:
            is_flood = self._failures.passes_over(now_s, source)
        if is_flood:
            return Dropped(Cause.FLOOD)
        if trusted is None:
            return _judged_retired(key, header, datagram)
        got = self._opened(now_s, held or cipher_of(key, header.boot), header, datagram)
        if held is not None and isinstance(got, Dropped) and got.cause is Cause.SEAL:
            self._failures.charge(now_s, source)
        return got

    def _opened(
        self, now_s: float, cipher: ChaCha20Poly1305, header: Header, datagram: bytes
    ) -> Received | Dropped:
        boot = BootId(header.boot)
        try:
            data = open_with(cipher, header, datagram)
        except InvalidTag:
            return Dropped(Cause.SEAL)
        # Only what opened leaves a trace: who has no key cannot fill our memory.
        sender = self._senders.get(boot) or self._remembered(now_s, boot)
        sender.ciphers[header.key_id] = cipher
        self._senders.move_to_end(boot)
        if not sender.window.take(header.counter):
            return Dropped(Cause.REPLAY)
        if not sender.bucket.take(now_s):
            return Dropped(Cause.FLOOD)
        return _read(sender, boot, data)

    def _remembered(self, now_s: float, boot: BootId) -> _Sender:
        sender = self._senders[boot] = _Sender(now_s)
        if len(self._senders) > self._max_senders:
            self._senders.popitem(last=False)
        return sender


class DropLog:
    """Which drops are worth a line: the first of a cause, then one a minute at most."""

    def __init__(self) -> None:
        self._logged_at_s: dict[Cause, float] = {}

    def is_due(self, now_s: float, cause: Cause) -> bool:
        logged_at_s = self._logged_at_s.get(cause)
        if logged_at_s is not None and now_s - logged_at_s < _LOG_EVERY_S:
            return False
        self._logged_at_s[cause] = now_s
        return True


def _judged_retired(key: FleetKey, header: Header, datagram: bytes) -> Dropped:
    """Whether the holder of a retired key sent it, or somebody who only knows its name."""
    try:
        open_with(cipher_of(key, header.boot), header, datagram)
    except InvalidTag:
        return Dropped(Cause.SEAL)
    return Dropped(Cause.RETIRED, key)


def _read(sender: _Sender, boot: BootId, data: bytes) -> Received | Dropped:
    try:
        message = unpack(data)
    except UnknownType:
        return Dropped(Cause.TYPE)
    except MessageError:
        return Dropped(Cause.MALFORMED)
    is_first, sender.was_heard = not sender.was_heard, True
    return Received(boot, message, is_first)
