"""Right or wrong, counted: exact match after stripping white space, nothing else.

Pure: knows cases and answers, no model. The bars are the ones a model must clear to be shipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .cases import Case

OVERALL_BAR = 80.0
READING_BAR = 85.0
BLANKED_BAR = 5.0
SHAPE_BAR_POINTS = 5.0


@dataclass(frozen=True, slots=True)
class Verdict:
    case: Case
    given: str

    @property
    def right(self) -> bool:
        return self.given.strip() == self.case.answer


@dataclass(frozen=True, slots=True)
class Share:
    right: int
    total: int

    @property
    def percent(self) -> float:
        return 100.0 * self.right / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Score:
    """`kinds` splits the overall figure by document, `tasks` by question."""

    overall: Share
    tasks: tuple[tuple[str, Share], ...]
    kinds: tuple[tuple[str, Share], ...]
    totals: Share
    lines: Share
    square: Share
    other_shapes: Share
    blanked: Share


@dataclass(frozen=True, slots=True)
class Bar:
    name: str
    figure: float
    bar: str
    cleared: bool


def score(verdicts: Sequence[Verdict], blanked: Sequence[Verdict]) -> Score:
    with_picture = [verdict for verdict in verdicts if verdict.case.png is not None]
    return Score(
        overall=_share(verdicts),
        tasks=_split(verdicts, lambda case: case.task),
        kinds=_split(verdicts, lambda case: case.kind),
        totals=_share(v for v in verdicts if v.case.task == "total"),
        lines=_share(v for v in verdicts if v.case.task == "read" and v.case.kind == "line"),
        square=_share(v for v in with_picture if v.case.square),
        other_shapes=_share(v for v in with_picture if not v.case.square),
        blanked=_share(blanked),
    )


def bars(score: Score) -> tuple[Bar, ...]:
    """Each bar with the figure that must clear it."""
    behind = score.square.percent - score.other_shapes.percent
    return (
        _at_least("overall", score.overall.percent, OVERALL_BAR),
        _at_least("totals", score.totals.percent, READING_BAR),
        _at_least("single lines", score.lines.percent, READING_BAR),
        _at_most("picture blanked", score.blanked.percent, BLANKED_BAR),
        _at_most("non-square behind square, points", behind, SHAPE_BAR_POINTS),
    )


def _at_least(name: str, figure: float, bar: float) -> Bar:
    return Bar(name, figure, f">= {bar:.0f}", figure >= bar)


def _at_most(name: str, figure: float, bar: float) -> Bar:
    return Bar(name, figure, f"<= {bar:.0f}", figure <= bar)


def _share(verdicts: Iterable[Verdict]) -> Share:
    judged = list(verdicts)
    return Share(sum(verdict.right for verdict in judged), len(judged))


def _split(
    verdicts: Sequence[Verdict], name: Callable[[Case], str]
) -> tuple[tuple[str, Share], ...]:
    names = sorted({name(verdict.case) for verdict in verdicts})
    return tuple((each, _share(v for v in verdicts if name(v.case) == each)) for each in names)
