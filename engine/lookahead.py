"""The decode steps that are on their way, at most two: the second is launched before the tokens of
the first are known.

While they come to the host and are told, the device computes. What must hold for that is written in
docs/decisions/0014: nothing but the same answers, going on alike, lies between the two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import torch

from .decoding.steps import DecodeSteps, Launched
from .draws import Rows, drawn_within
from .sampler import Chosen, SamplingRow
from .scheduler import Scheduler
from .sequence import Sequence


class Lookahead:
    """True as long as a step is on its way. For its sequences all known tokens are computed, and
    the next is drawn and not known.
    """

    def __init__(self, steps: DecodeSteps, scheduler: Scheduler) -> None:
        self.steps = steps
        self._scheduler = scheduler
        self._launched: deque[Launched] = deque()

    def __bool__(self) -> bool:
        return bool(self._launched)

    def launch(self, sequences: Iterable[Sequence]) -> dict[Sequence, torch.Tensor]:
        """A step of their next known tokens, with nothing on its way before it; the scores of those
        that are not drawn within, [vocab].
        """
        launched = self.steps.launch(sequences, drawn_within(sequences))
        self._launched.append(launched)
        return launched.scores

    def following(self) -> Rows:
        """Whom a step behind the one on its way would feed: nobody, where anybody else has
        something to compute by then. Who is known to end with the first has no part in it.
        """
        alive = self.arriving
        if len(alive) < len(self._scheduler.running):
            return {}
        rows = drawn_within(alive, num_coming=1)
        return rows if all(map(self._scheduler.has_page, rows)) else {}

    def follow(self, rows: Rows) -> None:
        """Launch that step, where it can be."""
        launched = self.steps.launch_behind(self._launched[-1], rows)
        if launched is not None:
            self._launched.append(launched)

    @property
    def arriving(self) -> list[Sequence]:
        """Who is drawn a token by the step that was launched first, and has not ended since."""
        return [s for s in self._launched[0].asked if s.slot is not None]

    def arrive(self) -> list[tuple[Sequence, SamplingRow, Chosen | None]]:
        """Their tokens; nobody waits for a step of which they all have ended."""
        alive, launched = self.arriving, self._launched.popleft()
        drawn = launched.drawn() if alive else {}
        return [(s, launched.asked[s], drawn[s]) for s in alive]
