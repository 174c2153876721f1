"""The loads, unloads, pulls and drains of a fleet, read from `GET /jobs` and what orders answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from .reading import Told, long_text, read

OVER = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class ErrorPicture:
    code: Annotated[str, Told(or_else="")]
    message: Annotated[str, Told(read=long_text)]
    hint: Annotated[str, Told(or_else="")]


@dataclass(frozen=True, slots=True)
class JobPicture:
    """`kind` is load, unload, pull or drain; `state` queued, running, done, failed or cancelled;
    `stage` is empty where nothing is told of it. `total` 0 is an amount that nobody knows.
    `seconds` is how long it has been going, or went.
    """

    id: str
    kind: str
    state: str
    peer: str
    model: Annotated[str, Told(or_else="")]
    stage: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    rate_per_s: float | None = None
    eta_s: float | None = None
    seconds: float = 0.0
    error: ErrorPicture | None = None

    @property
    def is_over(self) -> bool:
        return self.state in OVER


@dataclass(frozen=True, slots=True)
class _Jobs:
    jobs: tuple[JobPicture, ...]


def read_jobs(told: Mapping[str, Any]) -> tuple[JobPicture, ...]:
    """Raises ValueError where no peer can have said that."""
    return read(_Jobs, told).jobs


def read_job(told: Mapping[str, Any]) -> JobPicture:
    """Raises ValueError where no peer can have said that."""
    return read(JobPicture, told)
