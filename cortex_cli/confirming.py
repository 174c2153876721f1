"""A question before what cannot be undone; only a person at a terminal is asked."""

from __future__ import annotations

import sys

import typer

from .errors import UsageProblem


def must_confirm(question: str, flag: str) -> None:
    """Raises typer's Abort where the answer is not yes, UsageProblem where nobody can answer."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageProblem(f"nobody can be asked here: {question}", f"to say yes, add {flag}")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise typer.Abort
