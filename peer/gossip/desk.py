"""What the parts of one core share: its tables, its timers and its outbox.

Only a bundle: nothing is decided here.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from .agenda import Agenda
from .health import Health
from .loads import LOAD_BYTES, LoadTable
from .members import Members
from .messages import Versions
from .own import Own
from .pings import Pings
from .rumours import RumourQueue
from .sessions import Sessions
from .speaker import ROOM_BYTES, Speaker
from .timing import Timing

# An ack also carries a load, and room for a verdict at its head.
RUMOUR_BYTES = ROOM_BYTES - LOAD_BYTES - 64


@dataclass(slots=True)
class Desk:
    own: Own
    rng: random.Random
    timing: Timing
    versions: Versions
    members: Members = field(default_factory=Members)
    loads: LoadTable = field(default_factory=LoadTable)
    agenda: Agenda = field(default_factory=Agenda)
    rumours: RumourQueue = field(init=False)
    health: Health = field(init=False)
    sessions: Sessions = field(init=False)
    speaker: Speaker = field(init=False)
    pings: Pings = field(init=False)

    def __post_init__(self) -> None:
        timing = self.timing
        self.rumours = RumourQueue(RUMOUR_BYTES)
        self.health = Health(timing.max_health)
        self.sessions = Sessions(timing.max_sessions, timing.max_strangers)
        self.speaker = Speaker(self.own, self.members, self.rumours, timing, self.versions)
        self.pings = Pings(self.speaker, self.agenda, self.rng)
