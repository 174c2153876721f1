"""All checks at once, each within its time, and what they found in an order that reads well."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cortex.engine.errors import CortexError

from ..announcement import read_announcements
from ..catalogue import model_folders
from ..config import Locations
from ..fleet.beacons import Found
from ..fleet.interfaces import Choice, choose, multicast_on, read_interfaces
from ..gossip.ids import ID_BYTES, NodeId
from ..keyring import Keyring
from ..onlooker.asking import Asking, Door
from ..onlooker.pictures import FleetPicture, PeerPicture
from .company import judge_builds, judge_reach
from .findings import Finding, fail, ok, warn
from .key import judge_node, look_at_key
from .machine import (
    LITTLE_FOR_MODELS_BYTES,
    LITTLE_FOR_STATE_BYTES,
    judge_machine,
    judge_place,
    look_at_machine,
    look_at_place,
)
from .multicast import hear_back, judge_interfaces, judge_multicast
from .neighbours import hear_neighbours, judge_neighbours
from .reach import Prober, Target

# No check of its own takes as long: this is for those that hang.
LIMIT_S = 12.0
_ASK_S = 3.0
MAX_PROBED = 64
