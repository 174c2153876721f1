"""What is being waited for, on one line: stage, amount, rate, time left.

On a terminal the line is redrawn in place and gone when the answer begins. Elsewhere a line is
printed for each tenth or every ten seconds, and none at all for a wait too short to wonder about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cortex.engine.stream import Stage
from cortex.peer.talk.words import Pace, describe

from .diagnostics import Diagnostics

_REDRAW_S = 0.1
_LOG_S = 10.0
_LOG_FROM_S = 3.0


@dataclass(slots=True)
class _Drawn:
    """What was said last, and when."""

    name: str
    tenth: int
    at_s: float


class ProgressLine:
    """The wait before the first token, as far as it has been told."""

    def __init__(self, to: Diagnostics, clock: Callable[[], float]) -> None:
        self._to = to
        self._clock = clock
        self._began_s = clock()
        self._pace = Pace()
        self._drawn: _Drawn | None = None

    def show(self, stage: Stage) -> None:
        now_s = self._clock()
        per_s = self._pace.per_s(stage, now_s)
        tenth = 10 * stage.done // stage.total if stage.total else 0
        if not self._is_due(stage, tenth, now_s):
            return
        self._drawn = _Drawn(stage.name, tenth, now_s)
        text = describe(stage, per_s)
        if self._to.can_redraw:
            self._to.draw(text)
        else:
            self._to.line(text)

    def clear(self) -> None:
        self._to.erase()
        self._drawn = None

    def _is_due(self, stage: Stage, tenth: int, now_s: float) -> bool:
        drawn = self._drawn
        if self._to.can_redraw:
            return drawn is None or drawn.name != stage.name or now_s - drawn.at_s >= _REDRAW_S
        if now_s - self._began_s < _LOG_FROM_S:
            return False
        if drawn is None or now_s - drawn.at_s >= _LOG_S:
            return True
        return drawn.name == stage.name and tenth > drawn.tenth
