"""The decode steps that are on their way, at most two: the second is launched before the tokens of
the first are known.

While they come to the host and are told, the device computes. What must hold for that is written in
docs/decisions/0014: nothing but the same answers, going on alike, lies between the two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

import torch

from .decoding.steps import DecodeSteps, Launched
from .draws import Rows, drawn_within
from .events import DeviceEvent
from .scheduler import Scheduler
from .sequence import Sequence
from .speculation.speculator import Speculator
from .telling import Telling


class Lookahead:
    """True as long as a step is on its way. For its sequences all known tokens are computed, and
    the next is drawn and not known.
    """

    def __init__(
        self,
        steps: DecodeSteps,
        scheduler: Scheduler,
        telling: Telling,
        clock: Callable[[], float],
    ) -> None:
        self.steps = steps
        self._scheduler = scheduler
        self._telling = telling
        self._clock = clock
        self._launched: deque[Launched] = deque()
        self._arrived_s = 0.0

    def __bool__(self) -> bool:
        return bool(self._launched)

    def launch(self, sequences: Iterable[Sequence]) -> dict[Sequence, torch.Tensor]:
        """A step of their next known tokens, with nothing on its way before it. The scores of those
        that are not drawn within, [vocab].
        """
        launched = self.steps.launch(sequences, drawn_within(sequences))
        self._launched.append(launched)
        return launched.scores

    def go_on(self, speculator: Speculator | None = None) -> list[DeviceEvent]:
        """Launch the step behind the one on its way, if that may be; and what came of that one."""
        arriving, rows, began_s = self._arriving, self._following(), self._arrived_s

        def follow() -> list[DeviceEvent]:
            waits = bool(rows) and speculator is not None and speculator.waits(list(rows))
            return self._follow({} if waits else rows)

        events = self._telling.tried(arriving, follow)
        events += self.arrive()
        if self and speculator is not None:
            speculator.learn(len(arriving), 0, self._arrived_s - began_s)
        return events

    def arrive(self) -> list[DeviceEvent]:
        """The tokens of the step that was launched first. Nobody waits for one of which all have
        ended.
        """
        alive, launched = self._arriving, self._launched.popleft()
        events = self._telling.tried(alive, lambda: self._told(alive, launched)) if alive else []
        self._drop_ended()
        self._arrived_s = self._clock()
        return events

    def _told(self, alive: list[Sequence], launched: Launched) -> list[DeviceEvent]:
        drawn = launched.drawn()
        return self._telling.drawn({s: launched.asked[s] for s in alive}, [drawn[s] for s in alive])

    def _drop_ended(self) -> None:
        """Who begins again may have a place again when what was launched of it before arrives."""
        for place, launched in enumerate(self._launched):
            asked = {s: row for s, row in launched.asked.items() if s.slot is not None}
            self._launched[place] = launched._replace(asked=asked)

    @property
    def _arriving(self) -> list[Sequence]:
        """Who is drawn a token by the step that was launched first, and has not ended since."""
        return [s for s in self._launched[0].asked if s.slot is not None]

    def _following(self) -> Rows:
        """Whom a step behind the one on its way would feed: nobody, where anybody else has
        something to compute by then. Who is known to end with the first has no part in it.
        """
        alive = self._arriving
        if len(alive) < len(self._scheduler.running):
            return {}
        rows = drawn_within(alive, num_coming=1)
        return rows if all(map(self._scheduler.has_page, rows)) else {}

    def _follow(self, rows: Rows) -> list[DeviceEvent]:
        launched = self.steps.launch_behind(self._launched[-1], rows) if rows else None
        if launched is not None:
            self._launched.append(launched)
        return []
