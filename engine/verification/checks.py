"""Comparing one value with the number in a file, and what a case's comparisons add up to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: how far off, and how far it may be. Equality has tolerance 0."""

    what: str
    max_abs_error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.max_abs_error <= self.tolerance  # false for NaN, as it must be


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The comparison that came nearest to its tolerance, or went furthest beyond, speaks."""

    name: str
    max_abs_error: float
    tolerance: float
    passed: bool
    detail: str


def close(what: str, ours: torch.Tensor, expected: torch.Tensor, tolerance: float) -> Check:
    """Largest absolute difference; infinite where the shapes differ."""
    if ours.shape != expected.shape:
        return Check(f"{what} shape {list(ours.shape)}", float("inf"), tolerance)
    if not ours.numel():
        return Check(what, 0.0, tolerance)
    return Check(what, (ours.double() - expected.double()).abs().max().item(), tolerance)


def equal(what: str, ours: object, expected: object) -> Check:
    """0 where they are the same, infinite where they are not."""
    return Check(what, 0.0 if ours == expected else float("inf"), 0.0)


def summed_up(name: str, checks: Sequence[Check]) -> CaseResult:
    """A case passes when it compared something and every comparison passed."""
    if not checks:
        return CaseResult(name, float("inf"), 0.0, False, "nothing was compared")
    failed = [check for check in checks if not check.passed]
    worst = max(failed or checks, key=_nearness)
    detail = f"failed: {', '.join(c.what for c in failed)}" if failed else worst.what
    return CaseResult(name, worst.max_abs_error, worst.tolerance, not failed, detail)


def run_case(name: str, checks: Callable[[], Iterable[Check]]) -> CaseResult:
    """Whatever goes wrong inside a case fails that case, by its error, and no other."""
    try:
        return summed_up(name, list(checks()))
    except Exception as error:  # files may hold anything: a wrong index, a missing key
        detail = f"failed: {type(error).__name__}: {error}"
        return CaseResult(name, float("inf"), 0.0, False, detail)


def _nearness(check: Check) -> float:
    if check.max_abs_error != check.max_abs_error:
        return float("inf")
    return check.max_abs_error / check.tolerance if check.tolerance else check.max_abs_error
