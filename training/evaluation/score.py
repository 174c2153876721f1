"""Right or wrong, counted: exact match after stripping white space, nothing else.

Pure: knows cases and answers, no model. The bars are the ones a model must clear to be shipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..questions import ABSENT_ANSWER
from .cases import Case

OVERALL_BAR = 85.0
READING_BAR = 92.0
CELLS_BAR = 75.0
DECLINED_BAR = 85.0
NOT_DECLINED_BAR = 97.0
BLANKED_BAR = 3.0
SHAPE_BAR_POINTS = 5.0
HAND_BAR = 70.0


@dataclass(frozen=True, slots=True)
class Verdict:
    case: Case
    given: str

    @property
    def right(self) -> bool:
        return self.given.strip() == self.case.answer

    @property
    def declined(self) -> bool:
        return self.given.strip() == ABSENT_ANSWER


@dataclass(frozen=True, slots=True)
class Share:
    right: int
    total: int

    @property
    def percent(self) -> float:
        return 100.0 * self.right / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure in percent, or points where the name says so, over `of` cases."""

    name: str
    figure: float
    of: int
    bar: str
    cleared: bool


@dataclass(frozen=True, slots=True)
class Split:
    """The answers that share `name` in what they are split `by`."""

    by: str
    name: str
    share: Share


def bars(verdicts: Sequence[Verdict], blanked: Sequence[Verdict]) -> tuple[Bar, ...]:
    """Each bar with the figure that must clear it.

    What is absent is declined in fixed words; those words are wrong wherever there is an answer.
    """
    totals, dates, cells, absent = (
        [v for v in verdicts if v.case.task == task] for task in ("total", "date", "cell", "absent")
    )
    lines = [v for v in verdicts if v.case.task == "read" and v.case.kind == "line"]
    present = [v for v in verdicts if v.case.pngs and v.case.task != "absent"]
    not_declined = Share(sum(not v.declined for v in present), len(present))
    return (
        _at_least("overall", _share(verdicts), OVERALL_BAR),
        _at_least("totals", _share(totals), READING_BAR),
        _at_least("dates", _share(dates), READING_BAR),
        _at_least("single lines", _share(lines), READING_BAR),
        _at_least("table cells", _share(cells), CELLS_BAR),
        _at_least("absent, declined", _share(absent), DECLINED_BAR),
        _at_least("present, not declined", not_declined, NOT_DECLINED_BAR),
        _at_most("picture blanked", _share(blanked), BLANKED_BAR),
        _shapes([v for v in verdicts if v.case.origin == "first 400" and v.case.pngs]),
    )


def hand_bar(verdicts: Sequence[Verdict]) -> Bar:
    return _at_least("pictures of other tools", _share(verdicts), HAND_BAR)


def splits(verdicts: Sequence[Verdict]) -> tuple[Split, ...]:
    """The answers counted under everything that may make a question hard."""
    counted: dict[tuple[str, str], Share] = {}
    for verdict in verdicts:
        for key in _names(verdict.case):
            share = counted.get(key, Share(0, 0))
            counted[key] = Share(share.right + verdict.right, share.total + 1)
    return tuple(Split(by, name, counted[by, name]) for by, name in sorted(counted))


def _names(case: Case) -> Iterable[tuple[str, str]]:
    names = {
        "set": case.origin,
        "kind": case.kind,
        "task": case.task,
        "wording": "held out" if case.is_held_out else "trained",
        "aspect": case.aspect,
        "font": case.font,
        "pictures": str(len(case.pngs)),
        "turns": str(1 + len(case.earlier)),
    }
    return ((by, name) for by, name in names.items() if name)


def _shapes(verdicts: Sequence[Verdict]) -> Bar:
    """Of the first 400 alone: a third of each task is square, so that only the shape differs."""
    square = _share(v for v in verdicts if v.case.aspect == "square")
    other = _share(v for v in verdicts if v.case.aspect != "square")
    behind = square.percent - other.percent
    return Bar(
        "non-square behind square, points",
        behind,
        square.total + other.total,
        f"<= {SHAPE_BAR_POINTS:.0f}",
        behind <= SHAPE_BAR_POINTS,
    )


def _at_least(name: str, share: Share, bar: float) -> Bar:
    return Bar(name, share.percent, share.total, f">= {bar:.0f}", share.percent >= bar)


def _at_most(name: str, share: Share, bar: float) -> Bar:
    return Bar(name, share.percent, share.total, f"<= {bar:.0f}", share.percent <= bar)


def _share(verdicts: Iterable[Verdict]) -> Share:
    judged = list(verdicts)
    return Share(sum(verdict.right for verdict in judged), len(judged))
