"""What was found: in order, out of order, or broken, each with what mends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "FAIL"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` is what was looked at, in a word; `fix` is what to do, empty where nothing is."""

    level: Level
    check: str
    text: str
    fix: str = ""


def ok(check: str, text: str) -> Finding:
    return Finding("ok", check, text)


def warn(check: str, text: str, fix: str) -> Finding:
    return Finding("warn", check, text, fix)


def fail(check: str, text: str, fix: str) -> Finding:
    return Finding("FAIL", check, text, fix)


def num_failed(findings: Iterable[Finding]) -> int:
    return sum(finding.level == "FAIL" for finding in findings)
