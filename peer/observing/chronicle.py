"""What has happened at a peer, a sentence each, for whoever looks on, and for the log.

Nothing that a client sent is in it. Everything happens on one event loop; the clock comes in.
"""

from __future__ import annotations

import functools
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from ..config import CHRONICLE_LOG
from ..gossip.ids import U63, Word
from .recent import Kind, Recent

logger = logging.getLogger(CHRONICLE_LOG)

_MOST = 256
_MAX_TEXT_CHARS = 400
_MAX_ID_CHARS = 256
_COUNTED: Mapping[str, Kind] = {"evicted": "evictions", "failover": "failovers"}


_Id: TypeAlias = Annotated[str, Meta(max_length=_MAX_ID_CHARS)]
_Text: TypeAlias = Annotated[str, Meta(max_length=_MAX_TEXT_CHARS)]


class Happening(Struct, frozen=True):
    """`what` is a word for programs, `text` a sentence for people. `about` is the name of another
    peer that it is about, as this one saw it; empty for what happened here. Numbers rise, and go on
    rising when the peer is started again.
    """

    number: U63
    time_s: float
    what: Word
    model: _Id
    text: _Text
    about: _Id = ""


class Chronicle:
    """`clock` is Unix time. How often models were evicted and requests taken elsewhere is counted
    among what is `recent`, whose clock is the monotonic one.
    """

    def __init__(self, recent: Recent, clock: Callable[[], float] = time.time) -> None:
        self._recent = recent
        self._clock = clock
        self._number = int(clock() * 1000)
        self._kept: deque[Happening] = deque(maxlen=_MOST)
        self._watchers: list[Callable[[], None]] = []

    def add(self, what: str, text: str, model: str = "", about: str = "") -> None:
        self._number += 1
        if what in _COUNTED:
            self._recent.add(time.monotonic(), _COUNTED[what])
        model, text = model[:_MAX_ID_CHARS], text[:_MAX_TEXT_CHARS]
        self._kept.append(Happening(self._number, self._clock(), what, model, text, about))
        logger.info("%s", f"{about} {text}" if about else text)
        for on_add in tuple(self._watchers):
            on_add()

    def latest(self, most: int, *, own_only: bool = False) -> Sequence[Happening]:
        """The newest last."""
        told = [one for one in self._kept if not (own_only and one.about)]
        return told[-most:]

    def tell(self, on_happening: Callable[[Happening], None]) -> None:
        """Call this with all that has happened, and with whatever does from now on."""
        for one in self._kept:
            on_happening(one)
        self.watch(lambda: on_happening(self._kept[-1]))

    def watch(self, on_add: Callable[[], None]) -> Callable[[], None]:
        """Call this whenever something has happened; what is returned ends that."""
        self._watchers.append(on_add)
        return functools.partial(self._watchers.remove, on_add)
