"""What loading a model would do, as `POST /models/plan` tells it, read into values.

Bytes that are left may be less than none: a plan that does not fit says by how much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .reading import complete, dict_of, list_of, number, optional, text, whole

# What may be otherwise without anybody's doing: a load that is ordered all the same waits for it.
PASSING = ("busy", "new")


@dataclass(frozen=True, slots=True)
class PlacePicture:
    """`device` None is the peer as a whole."""

    peer: str
    device: int | None
    device_name: str


@dataclass(frozen=True, slots=True)
class PartPicture:
    name: str
    num_bytes: int
    note: str


@dataclass(frozen=True, slots=True)
class VictimPicture:
    id: str
    num_bytes: int
    idle_s: float
    reload_s: float | None


@dataclass(frozen=True, slots=True)
class PlanPicture:
    """`parts` is the sum behind `num_bytes`; `victims` go first. `is_there` needs no load."""

    place: PlacePicture
    is_there: bool
    context_tokens: int
    num_slots: int
    num_bytes: int
    parts: tuple[PartPicture, ...]
    free_bytes: int
    victims: tuple[VictimPicture, ...]
    free_after_bytes: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class RefusalPicture:
    """`wait_s` is when it may be otherwise by itself, where that is known."""

    place: PlacePicture
    reason: str
    words: str
    wait_s: float | None

    @property
    def is_passing(self) -> bool:
        return self.reason in PASSING


@dataclass(frozen=True, slots=True)
class PlannedPicture:
    """`plan` is None where no peer has a place; `others` would do as well, but not as soon."""

    model: str
    plan: PlanPicture | None
    others: tuple[PlanPicture, ...]
    refusals: tuple[RefusalPicture, ...]

    @property
    def waits_at(self) -> str | None:
        """The peer where a load would begin soonest by itself; None where there is a plan, or where
        waiting is no use.
        """
        passing = [one for one in self.refusals if one.is_passing]
        if self.plan is not None or not passing:
            return None
        soonest = min(passing, key=lambda one: (one.wait_s is None, one.wait_s or 0.0))
        return soonest.place.peer


@complete
def read_planned(told: Mapping[str, Any]) -> PlannedPicture:
    """Raises ValueError where no peer can have said that."""
    return PlannedPicture(
        text(told["model"]),
        optional(told["plan"], _plan),
        tuple(map(_plan, list_of(told["others"]))),
        tuple(map(_refusal, list_of(told["refusals"]))),
    )


def _place(told: dict[str, Any]) -> PlacePicture:
    name = optional(told.get("device_name"), text) or ""
    return PlacePicture(text(told["peer"]), optional(told["device"], whole), name)


def _plan(value: Any) -> PlanPicture:
    told = dict_of(value)
    return PlanPicture(
        _place(told),
        told["is_there"] is True,
        whole(told["context_tokens"]),
        whole(told["slots"]),
        whole(told["bytes"]),
        tuple(map(_part, list_of(told["parts"]))),
        _difference(told["free_bytes"]),
        tuple(map(_victim, list_of(told["victims"]))),
        _difference(told["free_after_bytes"]),
        optional(told["seconds"], number),
    )


def _part(value: Any) -> PartPicture:
    told = dict_of(value)
    return PartPicture(text(told["name"]), whole(told["bytes"]), text(told["note"]))


def _victim(value: Any) -> VictimPicture:
    told = dict_of(value)
    reload_s = optional(told["reload_s"], number)
    return VictimPicture(text(told["id"]), whole(told["bytes"]), number(told["idle_s"]), reload_s)


def _refusal(value: Any) -> RefusalPicture:
    told = dict_of(value)
    wait_s = optional(told["wait_s"], number)
    return RefusalPicture(_place(told), text(told["reason"]), text(told["words"], 2048), wait_s)


def _difference(value: Any) -> int:
    is_negative = isinstance(value, int | float) and value < 0
    return -whole(-value) if is_negative else whole(value)
