"""What is being waited for, on one line: stage, amount, rate, time left.

On a terminal the line is redrawn in place and gone when the answer begins. Elsewhere a line is
printed for each tenth or every ten seconds, and none at all for a wait too short to wonder about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cortex.engine.types import Stage

from .diagnostics import Diagnostics

_REDRAW_S = 0.1
_LOG_S = 10.0
_LOG_FROM_S = 3.0
_ERASE_LINE = "\r\x1b[K"

_WORDS = {
    "starting": "starting",
    "loading": "loading",
    "queued": "waiting",
    "preparing": "preparing",
    "prefill": "reading the prompt",
    "defragmenting": "tidying its memory",
}


def describe(stage: Stage, per_s: float | None) -> str:
    """The stage in words; `per_s` is its rate in its own unit, where it is known."""
    words = _WORDS.get(stage.name, stage.name)
    if stage.unit == "place":
        return f"{words}   place {stage.done}" if stage.done else words
    parts, left_s = [words], stage.eta_s
    if stage.total:
        parts += [_amount(stage), f"{min(100, 100 * stage.done // stage.total)} %"]
        if per_s:
            parts.append(_rate(per_s, stage.unit))
            if left_s is None:
                left_s = max(0, stage.total - stage.done) / per_s
    if left_s is not None:
        parts.append(f"{left_s:.0f} s left")
    return "   ".join(parts)


def _amount(stage: Stage) -> str:
    if stage.unit == "bytes":
        return f"{stage.done / 1e6:,.1f}/{stage.total / 1e6:,.1f} MB"
    return f"{stage.done:,}/{stage.total:,} {stage.unit}".rstrip()


def _rate(per_s: float, unit: str) -> str:
    return f"{per_s / 1e6:,.1f} MB/s" if unit == "bytes" else f"{per_s:,.0f} {unit}/s"


@dataclass(slots=True)
class _Drawn:
    """What was said last, and when."""

    name: str
    tenth: int
    at_s: float


class ProgressLine:
    """The wait before the first token, as far as it has been told."""

    def __init__(self, to: Diagnostics, clock: Callable[[], float], columns: int) -> None:
        self._to = to
        self._clock = clock
        self._columns = columns
        self._began_s = clock()
        self._stage_began: tuple[str, float, int] | None = None
        self._drawn: _Drawn | None = None

    def show(self, stage: Stage) -> None:
        now_s = self._clock()
        per_s = self._rate(stage, now_s)
        tenth = 10 * stage.done // stage.total if stage.total else 0
        if not self._is_due(stage, tenth, now_s):
            return
        self._drawn = _Drawn(stage.name, tenth, now_s)
        text = describe(stage, per_s)
        if self._to.can_redraw:
            self._to.write(f"{_ERASE_LINE}{text[: self._columns - 1]}")
        else:
            self._to.line(text)

    def clear(self) -> None:
        """Leave the terminal's line as it was found."""
        if self._drawn is not None and self._to.can_redraw:
            self._to.write(_ERASE_LINE)
        self._drawn = None

    def _rate(self, stage: Stage, now_s: float) -> float | None:
        if self._stage_began is None or self._stage_began[0] != stage.name:
            self._stage_began = (stage.name, now_s, stage.done)
        _, began_s, done_then = self._stage_began
        # A rate over a moment is noise, and its time left jumps.
        return (stage.done - done_then) / (now_s - began_s) if now_s - began_s > 0.5 else None

    def _is_due(self, stage: Stage, tenth: int, now_s: float) -> bool:
        drawn = self._drawn
        if self._to.can_redraw:
            return drawn is None or drawn.name != stage.name or now_s - drawn.at_s >= _REDRAW_S
        if now_s - self._began_s < _LOG_FROM_S:
            return False
        if drawn is None or now_s - drawn.at_s >= _LOG_S:
            return True
        return drawn.name == stage.name and tenth > drawn.tenth
