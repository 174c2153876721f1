"""What the dashboard sees, kept on disk while it is looked at: a terminal that is closed gives no
time to do so at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cortex.peer.addresses import normalise_address
from cortex.peer.lasting_clock import lasting_s
from cortex.peer.onlooker.asking import Sight
from cortex.peer.onlooker.feed import News, Seen
from cortex.peer.onlooker.pictures import read_picture
from cortex.tui.moments import local_time

from .last_seen import keep, last_seen, seen_in

if TYPE_CHECKING:
    from cortex.tui.app import Source

KEEP_S = 10.0


class Kept:
    """`source`, of whose sights one is kept at once, and then one every ten seconds at most.
    `clock` tells the Unix time, which may be put back; `lasting_s` goes on.
    """

    def __init__(
        self,
        source: Source,
        cache_dir: Path | None,
        clock: Callable[[], float] = time.time,
        lasting_s: Callable[[], float] = lasting_s,
    ) -> None:
        self._source = source
        self._cache_dir = cache_dir
        self._clock = clock
        self._lasting_s = lasting_s
        self._due_s = 0.0

    def news(self) -> Iterator[News]:
        for news in self._source.news():
            if isinstance(news, Seen) and (passed_s := self._lasting_s()) >= self._due_s:
                self._due_s, now_s = passed_s + KEEP_S, self._clock()
                seen = seen_in(news.sight, now_s)
                seen = replace(seen, addresses=(*seen.addresses, news.address))
                keep(self._cache_dir, seen, now_s)
            yield news

    def close(self) -> None:
        self._source.close()


def seen_before(cache_dir: Path | None, peer: str | None) -> tuple[Sight, datetime] | None:
    """Nothing of a fleet of which that peer is not known to be."""
    seen = last_seen(cache_dir, time.time())
    if seen.fleet is None or (peer is not None and normalise_address(peer) not in seen.addresses):
        return None
    told = dict(seen.fleet.told)
    try:
        return Sight(told, read_picture(told)), local_time(seen.fleet.seen_s)
    except ValueError:
        return None
