"""Datagrams that nobody of the fleet sent, made from some that were.

Bits flipped, pieces cut out, put in or taken from another datagram, a sound header before noise,
pure noise: what an attacker has who hears everything and holds no key. With a key he can do more:
`nonsense` is what such a one seals.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence

from cortex.peer.gossip.buckets import SourceBuckets
from cortex.peer.gossip.envelope import HEADER_BYTES, new_boot
from cortex.peer.gossip.receiving import Receiver
from cortex.peer.keys.fleet_key import new_fleet_key
from cortex.peer.keys.keyring import Keyring

from .simulator import Fleet

LONGEST_BYTES = 1300
_BOMBS = (b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x91" * 600)


def captured(seed: int, num_peers: int = 4, seconds: float = 60.0) -> Fleet:
    """A fleet whose traffic is sealed, with load and news; an eavesdropper kept some of it."""
    rng = random.Random(seed)
    fleet = Fleet(num_peers, seed, ring=Keyring(new_fleet_key(rng.randbytes)))
    for _ in range(10):
        fleet.publish(rng.randrange(num_peers), 3, rng.randbytes(rng.randrange(300)))
        fleet.run(seconds / 10)
    return fleet


def forged(rng: random.Random, sound: Sequence[bytes]) -> bytes:
    """One that is not among the sound ones, but for a rare chance."""
    datagram = bytearray(rng.choice(sound))
    match rng.randrange(6):
        case 0:
            return rng.randbytes(rng.randrange(LONGEST_BYTES))
        case 1:
            return bytes(datagram[:HEADER_BYTES]) + rng.randbytes(rng.randrange(LONGEST_BYTES))
        case 2:
            datagram[rng.randrange(len(datagram))] ^= 1 << rng.randrange(8)
        case 3:
            start = rng.randrange(len(datagram))
            datagram[start : start + rng.randrange(20)] = rng.randbytes(rng.randrange(20))
        case 4:
            del datagram[rng.randrange(len(datagram)) :]
        case _:
            other = rng.choice(sound)
            cut = rng.randrange(min(len(datagram), len(other)))
            datagram[cut:] = other[cut:]
    return bytes(datagram)


def nonsense(rng: random.Random, sound: Sequence[bytes]) -> bytes:
    """The inside of a datagram that is sealed rightly and says nothing right; it may be a bomb."""
    if rng.random() < 0.1:
        return rng.choice(_BOMBS)
    body = bytearray(rng.choice(sound))
    for _ in range(rng.randrange(1, 4)):
        body[rng.randrange(len(body))] = rng.randrange(256)
    return bytes(body)


def cost_us(num_datagrams: int = 50_000) -> float:
    """What one forged datagram costs the peer that gets it: the median of five rounds."""
    rng = random.Random(1)
    fleet = captured(1)
    assert fleet.ring is not None
    flood = [forged(rng, [data for _, data in fleet.recording]) for _ in range(num_datagrams)]
    rounds: list[float] = []
    for _ in range(5):
        buckets = SourceBuckets(0.0, per_source_s=1e9, per_s=1e9)
        receiver = Receiver(fleet.ring, new_boot(rng.randbytes), buckets)
        begun_s = time.perf_counter()
        for datagram in flood:
            receiver.receive(0.0, "10.0.0.1", datagram)
        rounds.append((time.perf_counter() - begun_s) / num_datagrams * 1e6)
    return round(statistics.median(rounds), 2)
