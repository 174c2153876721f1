"""What the tests of the fleet's wire share: keys, peers and a network address of their own."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from cortex.peer.gossip.buckets import SourceBuckets
from cortex.peer.gossip.envelope import Sealer, new_boot
from cortex.peer.gossip.receiving import Receiver
from cortex.peer.keys.fleet_key import FleetKey, RandomBytes, new_fleet_key
from cortex.peer.keys.keyring import Keyring


@pytest.fixture
def random_bytes() -> RandomBytes:
    return random.Random(5).randbytes


@pytest.fixture
def fleet_key(random_bytes: RandomBytes) -> FleetKey:
    return new_fleet_key(random_bytes)


@pytest.fixture
def keyring(fleet_key: FleetKey) -> Keyring:
    return Keyring(fleet_key)


@pytest.fixture
def sealer(random_bytes: RandomBytes) -> Sealer:
    return Sealer(new_boot(random_bytes), random_bytes)


@pytest.fixture
def new_receiver(keyring: Keyring, random_bytes: RandomBytes) -> Callable[[], Receiver]:
    """A peer that has heard nothing yet, with all the room that a test needs."""

    def make() -> Receiver:
        buckets = SourceBuckets(0.0, per_source_s=1e9, per_s=1e9)
        return Receiver(keyring, new_boot(random_bytes), buckets)

    return make


@pytest.fixture
def receiver(new_receiver: Callable[[], Receiver]) -> Receiver:
    return new_receiver()
