"""What the dashboard knows: the newest sight, what happened lately, since when nobody answers.

It changes by news alone and is told the time; nothing here draws.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cortex.peer.onlooker.changes import changes
from cortex.peer.onlooker.feed import Lost, News, Seen
from cortex.peer.onlooker.pictures import FleetPicture

_MAX_EVENTS = 200


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

    def hear(self, news: News, now: datetime) -> None:
        if isinstance(news, Lost):
            # What was lost stays what it was while it is asked for again.
            self.lost = news
            return
        self._see(news, now)

    def _see(self, news: Seen, now: datetime) -> None:
        picture = news.sight.picture
        if self.picture is not None:
            for words in changes(self.picture, picture):
                self._note(words, now)
        if self.address and self.address != news.address:
            self._note(f"lost {self.address}: now reading from {_who(picture, news)}", now)
        elif self.lost is not None and self.address:
            self._note(f"{_who(picture, news)} answers again", now)
        self.picture, self.told = picture, news.sight.told
        self.address, self.seen, self.lost = news.address, now, None

    def _note(self, words: str, now: datetime) -> None:
        self.events.appendleft(f"{now:%H:%M:%S}  {words}")


def _who(picture: FleetPicture, news: Seen) -> str:
    return picture.asked.name if picture.asked else news.address
