"""The loads, unloads, pulls and drains of a fleet, read from `GET /jobs` and what orders answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .reading import complete, dict_of, list_of, number, optional, text, whole

OVER = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class ErrorPicture:
    code: str
    message: str
    hint: str


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
    model: str
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


@complete
def read_jobs(told: Mapping[str, Any]) -> tuple[JobPicture, ...]:
    """Raises ValueError where no peer can have said that."""
    return tuple(read_job(dict_of(job)) for job in list_of(told["jobs"]))


@complete
def read_job(told: Mapping[str, Any]) -> JobPicture:
    """Raises ValueError where no peer can have said that."""
    return JobPicture(
        text(told["id"]),
        text(told["kind"]),
        text(told["state"]),
        text(told["peer"]),
        optional(told.get("model"), text) or "",
        optional(told.get("stage"), text) or "",
        whole(told.get("done", 0)),
        whole(told.get("total", 0)),
        text(told.get("unit", "")),
        optional(told.get("rate_per_s"), number),
        optional(told.get("eta_s"), number),
        number(told.get("seconds", 0)),
        optional(told.get("error"), _error),
    )


def _error(told: Any) -> ErrorPicture:
    fields = dict_of(told)
    hint = text(fields.get("hint") or "")
    return ErrorPicture(text(fields.get("code") or ""), text(fields["message"], 2048), hint)
