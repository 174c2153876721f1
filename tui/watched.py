"""What the dashboard knows: the newest sight, what happened lately, since when nobody answers.

It may begin with a sight that is kept of an earlier time. It changes by news alone and is told the
time; nothing here draws.
"""

from __future__ import annotations

import bisect
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cortex.peer.onlooker.asking import Sight
from cortex.peer.onlooker.feed import Lost, News, Seen
from cortex.peer.onlooker.happenings import Happening
from cortex.peer.onlooker.pictures import FleetPicture, PeerPicture

from .moments import local_time, moment

_MAX_EVENTS = 200
NUM_SAMPLES = 60
# The same, said twice within this time, is one thing.
_SAME = timedelta(seconds=5)

_Events = list[tuple[datetime, str]]


@dataclass(slots=True)
class Course:
    """How busy a peer was at the last beats, the newest last."""

    tokens_per_s: deque[float] = field(default_factory=lambda: deque(maxlen=NUM_SAMPLES))
    waiting: deque[float] = field(default_factory=lambda: deque(maxlen=NUM_SAMPLES))

    def note(self, peer: PeerPicture) -> None:
        load = peer.load if peer.state in ("up", "loading", "draining") else None
        self.tokens_per_s.append(load.decode_tokens_per_s if load else 0)
        self.waiting.append(load.waiting if load else 0)


@dataclass(slots=True)
class Watched:
    """`sight` was `seen` then. There is no `address` before the first peer has answered."""

    began: datetime
    sight: Sight | None = None
    seen: datetime | None = None
    address: str = ""
    lost: Lost | None = None
    _events: _Events = field(default_factory=lambda: _Events())
    _courses: dict[str, Course] = field(default_factory=lambda: dict[str, Course]())

    @property
    def is_fresh(self) -> bool:
        """Whether there is a picture, and it is one of now."""
        return bool(self.address) and self.lost is None

    @property
    def picture(self) -> FleetPicture | None:
        return self.sight.picture if self.sight is not None else None

    def with_names(self, words: str) -> str:
        """Peers by their names, in the place of the addresses of their APIs."""
        peers = self.picture.peers if self.picture is not None else ()
        names = {peer.api: peer.name for peer in peers if peer.api}
        whole = rf"(?<![\w.])({'|'.join(map(re.escape, names))})(?!\w)"
        return re.sub(whole, lambda found: names[found[0]], words) if names else words

    def events(self, now: datetime) -> Iterator[str]:
        """The newest first."""
        for when, words in reversed(self._events):
            yield f"{moment(when, now)}  {words}"

    def hear(self, news: News, now: datetime) -> None:
        if isinstance(news, Lost):
            # What was lost stays what it was while it is asked for again.
            self.lost = news
            return
        self._see(news, now)

    def beat(self) -> None:
        """A point more on every peer's course, and none kept of those that are gone."""
        peers = self.picture.peers if self.picture is not None and self.is_fresh else ()
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
        self.sight, self.seen = news.sight, now
        self.address, self.lost = news.address, None

    def _tell(self, happening: Happening) -> None:
        when = local_time(happening.time_s)
        self._note(f"{happening.peer}  {happening.text}", when)

    def _note(self, words: str, when: datetime) -> None:
        """Peers that are asked anew tell again what had happened before, and others of who came and
        went as they saw it.
        """
        if not any(words == known and abs(when - at) < _SAME for at, known in self._events):
            bisect.insort(self._events, (when, words))
            del self._events[:-_MAX_EVENTS]


def _who(picture: FleetPicture, news: Seen) -> str:
    return picture.asked.name if picture.asked else news.address
