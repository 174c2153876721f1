"""A core with a network that is a dictionary: what is kept before it is sent, what is refused."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from cortex.peer.fleet.driver import RETIRED_KEY, Driver
from cortex.peer.gossip.codec import pack
from cortex.peer.gossip.core import Core
from cortex.peer.gossip.envelope import Sealer
from cortex.peer.gossip.events import Event, IdentityChanged, Refused, Resumed
from cortex.peer.gossip.identity import Identity
from cortex.peer.gossip.ids import BootId, NodeId
from cortex.peer.gossip.messages import Ping
from cortex.peer.gossip.receiving import Cause
from cortex.peer.gossip.records import Address
from cortex.peer.keys.fleet_key import FleetKey, new_fleet_key
from cortex.peer.keys.keyring import Keyring

RANDOM = random.Random(4)
KEY, NEW_KEY = (new_fleet_key(RANDOM.randbytes) for _ in range(2))
STRANGER = Address("127.0.0.9", 9)


class Peer:
    """A driver and all that it does to the world."""

    def __init__(self, wires: Wires, number: int, keyring: Keyring) -> None:
        self.address = Address("127.0.0.1", number)
        self.sent: list[tuple[Address, bytes]] = []
        self.kept: list[IdentityChanged] = []
        self.events: list[Event] = []
        self.told: list[str] = []
        self.hinted: list[str] = []
        self.disk_is_full = False
        self.asleep_s, self.ahead_s = 1000.0, 0.0
        self.node, self.boot = NodeId(bytes([number]) * 8), BootId(bytes([number]) * 8)
        self.core = Core(
            Identity(self.node, self.boot, 1),
            self.address,
            asyncio.get_running_loop().time(),
            random.Random(number),
        )
        self.driver = Driver(
            self.core,
            keyring,
            random.Random(number).randbytes,
            send=self._send,
            keep=self._keep,
            on_event=self.events.append,
            tell=lambda text, topic="": self.told.append(text),
            hint=lambda text, topic="": self.hinted.append(text),
            asleep_s=lambda: self.asleep_s,
            wall_s=lambda: self.ahead_s + asyncio.get_running_loop().time(),
        )
        self._wires = wires
        wires.peers[self.address] = self

    def _send(self, address: Address, datagram: bytes) -> None:
        self.sent.append((address, datagram))
        self._wires.stirred.set()
        other = self._wires.peers.get(address)
        if other is not None:
            loop = asyncio.get_running_loop()
            loop.call_soon(other.hear, self.address, datagram)

    def hear(self, address: Address, datagram: bytes) -> None:
        self.driver.on_datagram(address, datagram)
        self._wires.stirred.set()

    def _keep(self, changed: IdentityChanged) -> None:
        if self.disk_is_full:
            raise OSError(28, "no space left")
        self.kept.append(changed)

    def suggest(self, address: Address) -> None:
        self.driver.act(lambda core, now_s: core.suggest(now_s, address))

    def knows(self, other: Peer) -> bool:
        return self.core.members.get(other.node) is not None


class Wires:
    """Who is at which address, and whether anything has been sent of late."""

    def __init__(self) -> None:
        self.peers: dict[Address, Peer] = {}
        self.stirred = asyncio.Event()

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not is_so():
                self.stirred.clear()
                await self.stirred.wait()


def ping_as(node: NodeId, boot: BootId, key: FleetKey) -> bytes:
    ping = Ping(node=node, gen=5, seq=1, challenge=b"a secret")
    return Sealer(boot, RANDOM.randbytes).seal(key, pack(ping))


async def test_a_sleep_that_stopped_every_timer_is_noticed_by_the_clock_that_went_on():
    peer = Peer(Wires(), 1, Keyring(KEY))
    peer.driver.start()
    peer.suggest(STRANGER)
    assert not [event for event in peer.events if isinstance(event, Resumed)]
    peer.asleep_s += 3600
    for _ in range(2):
        peer.suggest(STRANGER)
    assert [event.slept_s for event in peer.events if isinstance(event, Resumed)] == [3600]
    assert peer.core.own.standing.inc == 1, "it says that it is back"
    peer.driver.stop()


async def test_a_virtual_machine_that_was_halted_is_noticed_by_the_time_of_day():
    peer = Peer(Wires(), 1, Keyring(KEY))
    peer.driver.start()
    # Put right a little, put back far, and put on with a sleep that another clock tells as well.
    for ahead_s, slept_s in ((3.0, 1000.0), (-3600.0, 1000.0), (0.0, 4600.0), (7200.0, 4600.0)):
        peer.ahead_s, peer.asleep_s = ahead_s, slept_s
        peer.suggest(STRANGER)
    slept_s = [event.slept_s for event in peer.events if isinstance(event, Resumed)]
    assert slept_s == pytest.approx([3600, 7200])
    peer.driver.stop()


async def test_two_meet_over_whatever_carries_their_datagrams():
    wires = Wires()
    one, other = (Peer(wires, number, Keyring(KEY)) for number in (1, 2))
    one.suggest(other.address)
    await wires.until(lambda: one.knows(other) and other.knows(one))
    one.driver.stop()
    other.driver.stop()
    assert not (one.driver.dropped or other.driver.dropped)


async def test_a_new_generation_is_on_disk_before_anything_is_sent():
    """Another process speaks as our node: whoever restarts must be above both."""
    peer = Peer(Wires(), 1, Keyring(KEY))
    peer.disk_is_full = True
    peer.driver.on_datagram(STRANGER, ping_as(peer.node, BootId(b"its boot"), KEY))
    peer.suggest(STRANGER)
    assert peer.sent == [] and peer.kept == []
    assert "state directory" in peer.told[0]
    peer.disk_is_full = False
    peer.suggest(STRANGER)
    assert peer.sent == []  # it is not tried for every datagram
    await asyncio.sleep(1.01)  # but again after a second
    peer.suggest(STRANGER)
    peer.driver.stop()
    assert [changed.gen for changed in peer.kept] == [6]
    assert peer.sent


async def test_a_retired_key_is_refused_under_itself_and_seldom():
    ring = Keyring(KEY).adding(NEW_KEY).using(NEW_KEY.key_id).dropping(KEY.key_id)
    wires = Wires()
    late, peer = Peer(wires, 1, Keyring(KEY)), Peer(wires, 2, ring)
    for _ in range(5):
        late.suggest(peer.address)
    await wires.until(lambda: any(isinstance(event, Refused) for event in late.events))
    late.driver.stop()
    peer.driver.stop()
    [refused] = [event for event in late.events if isinstance(event, Refused)]
    assert refused.reason == RETIRED_KEY and not refused.by_us
    assert len(peer.sent) == 1
    assert peer.driver.dropped[Cause.RETIRED] == 5
    [told] = peer.hinted
    assert told.startswith("a peer at 127.0.0.1 still uses a retired fleet key; there: ")
    assert not peer.knows(late)


async def test_garbage_is_counted_and_told_of_once():
    peer = Peer(Wires(), 1, Keyring(KEY))
    foreign = ping_as(NodeId(b"somebody"), BootId(b"its boot"), NEW_KEY)
    for datagram in (b"", b"\xc7" * 100, foreign, foreign, foreign[:-1] + b"?"):
        peer.driver.on_datagram(STRANGER, datagram)
    peer.driver.stop()
    assert sum(peer.driver.dropped.values()) == 5
    assert peer.sent == []
    words = "somebody at 127.0.0.9 speaks under a fleet key that is not held here"
    assert peer.told == [] and peer.hinted.count(words) == 1


async def test_with_new_keys_the_newest_seals_and_the_old_one_still_opens():
    wires = Wires()
    one, other = (Peer(wires, number, Keyring(KEY)) for number in (1, 2))
    both = Keyring(KEY).adding(NEW_KEY)
    other.driver.use(both)
    one.driver.use(both.using(NEW_KEY.key_id))
    one.suggest(other.address)
    await wires.until(lambda: one.knows(other) and other.knows(one))
    one.driver.stop()
    other.driver.stop()
    assert {datagram[2:6] for _, datagram in one.sent} == {NEW_KEY.key_id}
    assert {datagram[2:6] for _, datagram in other.sent} == {KEY.key_id}


async def test_the_first_datagram_of_a_run_ends_what_sessions_it_had(
    monkeypatch: pytest.MonkeyPatch,
):
    """The receiver knows none of its earlier ones, so recordings of them might come now."""
    peer = Peer(Wires(), 1, Keyring(KEY))
    ended: list[BootId] = []
    monkeypatch.setattr(peer.core, "end_session", ended.append)
    boot, sealer = BootId(b"its boot"), Sealer(BootId(b"its boot"), RANDOM.randbytes)
    ping = pack(Ping(node=NodeId(b"somebody"), gen=5, seq=1, challenge=b"a secret"))
    for _ in range(3):
        peer.hear(STRANGER, sealer.seal(KEY, ping))
    peer.driver.stop()
    assert ended == [boot]
