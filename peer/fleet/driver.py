"""A core with a network: opens and seals its datagrams, keeps its time, tells what has happened.

It lives on the loop that it is started on, and asks for nothing else: where datagrams go is a
function, and what was heard comes in by another. What events mean is known above.

No hook for forked children is needed: every child is started by exec, and between the fork and the
exec no Python runs that could seal anything.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeVar

from ..gossip.buckets import SourceBuckets
from ..gossip.codec import MessageError, pack
from ..gossip.core import Core
from ..gossip.envelope import Sealer
from ..gossip.events import Event, IdentityChanged, Send
from ..gossip.messages import Message, Refuse
from ..gossip.receiving import Cause, DropLog, Dropped, Receiver
from ..gossip.records import Address
from ..keys.fleet_key import FleetKey, RandomBytes
from ..keys.keyring import Keyring
from ..lasting_clock import asleep_s
from .notices import OF_KEYS, Teller

logger = logging.getLogger(__name__)

T = TypeVar("T")

RETIRED_KEY = "retired key"
_KEEP_AGAIN_S = 1.0
# What people want to know of datagrams that were dropped, and its topic.
_TOLD = {
    Cause.KEY: ("somebody at {} speaks under a fleet key that is not held here", OF_KEYS),
    Cause.VERSION: (
        "somebody at {} speaks another version of the protocol; update the older of the two",
        "",
    ),
    Cause.RETIRED: (
        "a peer at {} still uses a retired fleet key; there: `cortex key add` with what "
        "`cortex key` shows here, then `cortex key use`",
        OF_KEYS,
    ),
}


# A virtual machine that is halted with its host, as WSL is, sees no clock go on but the people's,
# which is put right when it wakes. By less it is put right for other reasons.
_LEAST_JUMP_S = 5.0


class Driver:
    """`send` takes a datagram and never waits; `keep` writes a changed identity to the disk, and
    raises OSError where it cannot: nothing is sent until it could. `tell` is for people, and `hint`
    for what they may want to know and nobody has proved.
    """

    def __init__(
        self,
        core: Core,
        keyring: Keyring,
        random_bytes: RandomBytes,
        *,
        send: Callable[[Address, bytes], None],
        keep: Callable[[IdentityChanged], None],
        on_event: Callable[[Event], None],
        tell: Teller,
        hint: Teller,
        asleep_s: Callable[[], float] = asleep_s,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        boot = core.own.identity.boot
        self._core = core
        self._key = keyring.primary
        self._sealer = Sealer(boot, random_bytes)
        self._receiver = Receiver(keyring, boot, SourceBuckets(self._loop.time()))
        self._refusals = SourceBuckets(self._loop.time(), per_source_s=1.0, per_s=100.0)
        self._drop_log = DropLog()
        self._send = send
        self._keep = keep
        self._on_event = on_event
        self._tell = tell
        self._hint = hint
        self._timer: asyncio.TimerHandle | None = None
        self._is_flushing = False
        self._unkept: IdentityChanged | None = None
        self._keep_again_s = float("-inf")
        self._asleep_s, self._slept_s = asleep_s, asleep_s()
        self._wall_s, self._ahead_s = wall_s, wall_s() - self._loop.time()

    @property
    def dropped(self) -> Mapping[Cause, int]:
        return Counter(self._receiver.counts)

    def start(self) -> None:
        self._flush()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def use(self, keyring: Keyring) -> None:
        """Trust the keys of this ring, and seal with its first."""
        self._receiver.use(keyring)
        self._key = keyring.primary

    def act(self, deed: Callable[[Core, float], T]) -> T:
        """Do something with the core, and carry out what comes of it."""
        try:
            self._notice_sleep()
            return deed(self._core, self._loop.time())
        finally:
            self._flush()

    def on_datagram(self, address: Address, datagram: bytes) -> None:
        self._notice_sleep()
        now_s = self._loop.time()
        got = self._receiver.receive(now_s, address.ip, datagram)
        if isinstance(got, Dropped):
            self._note_dropped(now_s, address, got)
            return
        if got.is_first:
            self._core.end_session(got.boot)
        self._core.on_message(now_s, address, got.boot, got.message)
        self._flush()

    def _on_timer(self) -> None:
        self._timer = None
        try:
            self._notice_sleep()
            self._core.on_timer(self._loop.time())
        finally:
            self._flush()

    def _notice_sleep(self) -> None:
        now_s, slept_s = self._loop.time(), self._asleep_s()
        ahead_s = self._wall_s() - now_s
        silent_s, jump_s = slept_s - self._slept_s, ahead_s - self._ahead_s
        self._slept_s, self._ahead_s = slept_s, ahead_s
        self._core.was_silent(now_s, max(silent_s, jump_s if jump_s > _LEAST_JUMP_S else 0.0))

    def _flush(self) -> None:
        """Carry out what the core wants, until it wants nothing more."""
        if self._is_flushing:
            return  # whoever is at it goes on with what came meanwhile
        self._is_flushing = True
        try:
            while any(batch := self._core.poll()):
                self._carry_out(*batch)
        finally:
            self._is_flushing = False
            self._arm()

    def _carry_out(self, sends: list[Send], events: list[Event]) -> None:
        for event in events:
            if isinstance(event, IdentityChanged):
                self._unkept, self._keep_again_s = event, float("-inf")
        may_send = self._is_kept()
        for event in events:
            self._on_event(event)
        for send in sends if may_send else ():
            self._send_sealed(self._key, send.address, send.message)

    def _is_kept(self) -> bool:
        """Whether our identity is on disk, so that nobody will ever be us again after a restart."""
        now_s = self._loop.time()
        if self._unkept is None:
            return True
        if now_s < self._keep_again_s:
            return False
        try:
            self._keep(self._unkept)
        except OSError as error:
            self._keep_again_s = now_s + _KEEP_AGAIN_S
            logger.error("identity not kept error=%s", error)
            self._tell(
                f"the state directory cannot be written ({error.strerror}): silent till then"
            )
            return False
        self._unkept = None
        return True

    def _send_sealed(self, key: FleetKey, address: Address, message: Message) -> None:
        try:
            datagram = self._sealer.seal(key, pack(message))
        except MessageError as error:
            logger.error("message not sent kind=%s error=%s", type(message).__name__, error)
        else:
            self._send(address, datagram)

    def _note_dropped(self, now_s: float, address: Address, dropped: Dropped) -> None:
        if dropped.key is not None and self._refusals.take(now_s, address.ip):
            own = self._core.own
            refuse = Refuse(node=own.node, gen=own.gen, seq=0, reason=RETIRED_KEY)
            self._send_sealed(dropped.key, address, refuse)
        if self._drop_log.is_due(now_s, dropped.cause):
            logger.info("datagram dropped cause=%s source=%s", dropped.cause, address.ip)
            if dropped.cause in _TOLD:
                text, topic = _TOLD[dropped.cause]
                self._hint(text.format(address.ip), topic)

    def _arm(self) -> None:
        due_s = self._core.next_s
        if self._timer is not None:
            if self._timer.when() == due_s:
                return
            self._timer.cancel()
        self._timer = None if due_s is None else self._loop.call_at(due_s, self._on_timer)
