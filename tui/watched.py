"""What the dashboard knows: the newest sight, what happened lately, since when nobody answers.

It changes by news alone and is told the time; nothing here draws.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cortex.peer.onlooker.feed import Lost, News, Seen
from cortex.peer.onlooker.happenings import Happening
from cortex.peer.onlooker.pictures import FleetPicture, PeerPicture

_MAX_EVENTS = 200
NUM_SAMPLES = 60


@dataclass(slots=True)
class Course:
    """How busy a peer was at the last beats, the newest last."""

    tokens_per_s: deque[float] = field(default_factory=lambda: deque(maxlen=NUM_SAMPLES))
    waiting: deque[float] = field(default_factory=lambda: deque(maxlen=NUM_SAMPLES))

    def note(self, peer: PeerPicture) -> None:
        load = peer.load if peer.state in ("up", "loading", "draining") else None
        self.tokens_per_s.append(load.tokens_per_s_now if load else 0)
        self.waiting.append(load.waiting if load else 0)


@dataclass(slots=True)
class Watched:
    """`told` is the picture in the words of the peer. `events` are the newest first."""

    began: datetime
    picture: FleetPicture | None = None
    told: Mapping[str, Any] | None = None
    address: str = ""
    seen: datetime | None = None
    lost: Lost | None = None
    events: deque[str] = field(default_factory=lambda: deque(maxlen=_MAX_EVENTS))
    _courses: dict[str, Course] = field(default_factory=lambda: dict[str, Course]())

    def hear(self, news: News, now: datetime) -> None:
        if isinstance(news, Lost):
            # What was lost stays what it was while it is asked for again.
            self.lost = news
            return
        self._see(news, now)

    def beat(self) -> None:
        """A point more on every peer's course, and none kept of those that are gone."""
        peers = self.picture.peers if self.picture is not None and self.lost is None else ()
        for peer in peers:
            self._courses.setdefault(peer.node, Course()).note(peer)
        if peers:
            nodes = {peer.node for peer in peers}
            self._courses = {node: one for node, one in self._courses.items() if node in nodes}

    def course(self, node: str) -> Course:
        return self._courses.get(node, Course())

    def _see(self, news: Seen, now: datetime) -> None:
        picture = news.sight.picture
        if self.address and self.address != news.address:
            self._note(f"lost {self.address}: now reading from {_who(picture, news)}", now)
        elif self.lost is not None and self.address:
            self._note(f"{_who(picture, news)} answers again", now)
        if news.sight.happening is not None:
            self._tell(news.sight.happening)
        self.picture, self.told = picture, news.sight.told
        self.address, self.seen, self.lost = news.address, now, None

    def _tell(self, happening: Happening) -> None:
        when = datetime.fromtimestamp(happening.time_s)
        self._note(f"{happening.peer}  {happening.text}", when)

    def _note(self, words: str, now: datetime) -> None:
        self.events.appendleft(f"{now:%H:%M:%S}  {words}")


def _who(picture: FleetPicture, news: Seen) -> str:
    return picture.asked.name if picture.asked else news.address
