"""What the tests of the core share."""

from __future__ import annotations

import random

import pytest

from cortex.peer.gossip.core import Core
from cortex.peer.gossip.identity import Identity
from tests.fleet.stage import HOME, US, Stage, boot_of


@pytest.fixture
def stage() -> Stage:
    identity = Identity(US, boot_of(US), 5)
    return Stage(Core(identity, HOME, 0.0, random.Random(1)))
