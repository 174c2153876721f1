"""Asks the questions and writes down what came of it, beside the bars.

The model is a function from a case to an answer; what stands behind it is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

from .cases import Case
from .score import Bar, Verdict, bars, hand_bar, splits
from .speed import Timing

Answer = Callable[[Case], str]


def judge(cases: Iterable[Case], answer: Answer) -> tuple[Verdict, ...]:
    """Every question asked once."""
    return tuple(Verdict(case, answer(case)) for case in cases)


def render(verdicts: Sequence[Verdict], blanked: Sequence[Verdict]) -> str:
    """The bars and the splits as Markdown, for the terminal and the model card alike."""
    lines = ["| exact match | % | of | bar | |", "|---|---:|---:|---|---|"]
    lines += map(_bar_row, bars(verdicts, blanked))
    lines += ["", "| by | right | of | % |", "|---|---:|---:|---:|"]
    lines += [
        f"| {each.by}: {each.name} | {each.share.right} | {each.share.total} "
        f"| {each.share.percent:.1f} |"
        for each in splits(verdicts)
    ]
    return "\n".join(lines)


def render_speed(timings: Sequence[Timing]) -> str:
    lines = ["| speed | s | bar | |", "|---|---:|---|---|"]
    lines += [
        f"| {each.name} | {each.seconds:.2f} | <= {each.bar_s:.0f} | {_verdict(each.cleared)} |"
        for each in timings
    ]
    return "\n".join(lines)


def render_answers(names: Sequence[str], verdicts: Sequence[Verdict]) -> str:
    """One line per case, answer beside truth, and the share of right ones."""
    lines = ["| picture | question | truth | answer | |", "|---|---|---|---|---|"]
    lines += [
        f"| {name} | {verdict.case.question} | {_one_line(verdict.case.answer)} "
        f"| {_one_line(verdict.given)} | {'right' if verdict.right else 'wrong'} |"
        for name, verdict in zip(names, verdicts, strict=True)
    ]
    bar = hand_bar(verdicts)
    lines += ["", "| exact match | % | of | bar | |", "|---|---:|---:|---|---|", _bar_row(bar)]
    return "\n".join(lines)


def render_wrong(verdicts: Sequence[Verdict]) -> str:
    """Every wrong answer as a line of JSON."""
    return "\n".join(
        json.dumps([v.case.kind, v.case.task, v.case.question, v.case.answer, v.given])
        for v in verdicts
        if not v.right
    )


def as_json(verdicts: Sequence[Verdict], blanked: Sequence[Verdict], *, hand: bool) -> str:
    """All of it for programs: bars, splits, and every answer beside its truth."""
    told = (hand_bar(verdicts),) if hand else bars(verdicts, blanked)
    content = {
        "bars": [asdict(bar) for bar in told],
        "splits": [
            {"by": each.by, "name": each.name, **asdict(each.share)} for each in splits(verdicts)
        ],
        "answers": [
            {
                "kind": verdict.case.kind,
                "task": verdict.case.task,
                "question": verdict.case.question,
                "truth": verdict.case.answer,
                "given": verdict.given,
                "right": verdict.right,
            }
            for verdict in verdicts
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _bar_row(bar: Bar) -> str:
    return f"| {bar.name} | {bar.figure:.1f} | {bar.of} | {bar.bar} | {_verdict(bar.cleared)} |"


def _verdict(cleared: bool) -> str:
    return "cleared" if cleared else "MISSED"


def _one_line(text: str) -> str:
    return text.strip().replace("\n", " / ").replace("|", "\\|")
