"""Asks the questions and prints what came of it, beside the bars.

The model is a function from a PNG (or none) and a question to an answer; what stands behind it is
not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .cases import Case
from .score import Score, Share, Verdict, bars

Answer = Callable[[bytes | None, str], str]


def judge(cases: Iterable[Case], answer: Answer) -> tuple[Verdict, ...]:
    """Every question asked once."""
    return tuple(Verdict(case, answer(case.png, case.question)) for case in cases)


def render(score: Score) -> str:
    """The table as Markdown, for the terminal and the model card alike."""
    lines = ["| exact match | % | bar | |", "|---|---:|---:|---|"]
    lines += [
        f"| {bar.name} | {bar.figure:.1f} | {bar.bar} | {'cleared' if bar.cleared else 'MISSED'} |"
        for bar in bars(score)
    ]
    lines += ["", "| by | right | of | % |", "|---|---:|---:|---:|"]
    lines += [_row(f"task: {name}", share) for name, share in score.tasks]
    lines += [_row(f"kind: {name}", share) for name, share in score.kinds]
    lines += [
        _row("shape: square", score.square),
        _row("shape: other", score.other_shapes),
        _row("all", score.overall),
        _row("picture blanked", score.blanked),
    ]
    return "\n".join(lines)


def render_answers(names: Sequence[str], verdicts: Sequence[Verdict]) -> str:
    """One line per case, answer beside truth, and the count of right ones."""
    lines = ["| picture | question | truth | answer | |", "|---|---|---|---|---|"]
    lines += [
        f"| {name} | {verdict.case.question} | {_one_line(verdict.case.answer)} "
        f"| {_one_line(verdict.given)} | {'right' if verdict.right else 'wrong'} |"
        for name, verdict in zip(names, verdicts, strict=True)
    ]
    right = sum(verdict.right for verdict in verdicts)
    return "\n".join([*lines, "", f"{right} of {len(verdicts)} right"])


def _row(name: str, share: Share) -> str:
    return f"| {name} | {share.right} | {share.total} | {share.percent:.1f} |"


def _one_line(text: str) -> str:
    return text.strip().replace("\n", " / ").replace("|", "\\|")
