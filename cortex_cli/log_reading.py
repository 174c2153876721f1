"""The logs of peers, asked for and put in order.

Each log is asked for over a connection of its own; those that are followed together are read by a
thread each, which ends with the program.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace

from cortex.engine.errors import CortexError
from cortex.peer.lasting_clock import AmpleClock
from cortex.peer.onlooker.log_following import follow_log, log_path
from cortex.peer.onlooker.log_lines import LogLine, read_log
from cortex.peer.onlooker.ordering import Ordering
from cortex.peer.onlooker.pictures import read_picture
from cortex.peer.onlooker.understanding import understood

from .log_text import PeerLine, PeerSkipped

# As many lines as a peer keeps.
_MOST_KNOWN = 2000
# Lines are on their way for a while: so much is asked for once more.
_OVERLAP_S = 5.0


@dataclass(frozen=True, slots=True)
class LogSource:
    """The log of the peer of that name; None is the one that is asked."""

    orders: Ordering
    peer: str | None
    since_s: float
    level: str

    def read(self) -> list[PeerLine | PeerSkipped]:
        """What there is. Raises what the peer refuses with, or NoPeer."""
        page = understood(
            read_log, self.orders.call("GET", log_path(self.peer, self.since_s, self.level))
        )
        lines: list[PeerLine | PeerSkipped] = [PeerLine(page.peer, line) for line in page.lines]
        return [PeerSkipped(page.peer, page.skipped), *lines] if page.skipped else lines

    def follow(self) -> Generator[PeerLine | PeerSkipped]:
        """What there is, and what comes. Raises as `read` does, and NoPeer at the peer's end."""
        whose = self.peer or ""
        for told in follow_log(self.orders, self.peer, self.since_s, self.level):
            is_line = isinstance(told, LogLine)
            yield PeerLine(whose, told) if is_line else PeerSkipped(whose, told.count)


@dataclass(frozen=True, slots=True)
class LastingSource:
    """A log that is followed again where it has ended, behind what is known of it. `on_silence` is
    told once why; where there is none to begin with, that is raised. What is logged while this
    machine sleeps, or is halted, is not known: the `clock` goes on meanwhile.
    """

    source: LogSource
    on_silence: Callable[[CortexError], None]
    pause: Callable[[], None]
    clock: Callable[[], float] = field(default_factory=AmpleClock)

    def follow(self) -> Generator[PeerLine | PeerSkipped]:
        source, known = self.source, frozenset[PeerLine | PeerSkipped]()
        # Followed, it may say nothing for hours, and be there.
        source.read()
        began_s = heard_s = self.clock() - source.since_s
        told = deque[PeerLine | PeerSkipped](maxlen=_MOST_KNOWN)
        is_silent = False
        while True:
            try:
                for one in source.follow():
                    is_silent, heard_s = False, self.clock()
                    if one not in known:
                        told.append(one)
                        yield one
            except CortexError as error:
                if not is_silent:
                    self.on_silence(error)
                is_silent = True
            self.pause()
            known = frozenset(told)
            since_s = self.clock() - max(heard_s - _OVERLAP_S, began_s)
            source = replace(source, since_s=since_s)


def living_peers(orders: Ordering) -> list[str]:
    """By name, those that can be asked."""
    picture = understood(read_picture, orders.call("GET", "/fleet"))
    return [one.name for one in picture.peers if not one.is_gone]


def read_all(
    sources: Sequence[LogSource], on_lost: Callable[[CortexError], None]
) -> list[PeerLine | PeerSkipped]:
    """The oldest line first; what was skipped before all. `on_lost` is told of each that does not
    say, unless that is all of them: raises what the last one failed with then.
    """
    told: list[PeerLine | PeerSkipped] = []
    errors: list[CortexError] = []
    for source in sources:
        try:
            told += source.read()
        except CortexError as error:
            errors.append(error)
    if errors and len(errors) == len(sources):
        raise errors[-1]
    for error in errors:
        on_lost(error)
    return sorted(told, key=lambda one: one.line.time_s if isinstance(one, PeerLine) else 0.0)


def followed(
    sources: Sequence[LogSource | LastingSource], on_lost: Callable[[CortexError], None]
) -> Iterator[PeerLine | PeerSkipped]:
    """As it comes; of several peers until the last has ended. `on_lost` is told how each ends but
    that one, which is raised.
    """
    if len(sources) == 1:
        yield from sources[0].follow()
        return
    arrivals: queue.SimpleQueue[PeerLine | PeerSkipped | CortexError] = queue.SimpleQueue()

    def read(source: LogSource | LastingSource) -> None:
        try:
            for told in source.follow():
                arrivals.put(told)
        except CortexError as error:
            arrivals.put(error)

    for source in sources:
        threading.Thread(target=read, args=(source,), daemon=True).start()
    num_open = len(sources)
    while True:
        told = arrivals.get()
        if not isinstance(told, CortexError):
            yield told
            continue
        num_open -= 1
        if num_open == 0:
            raise told
        on_lost(told)
