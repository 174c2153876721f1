"""What loading a model would do, as `POST /models/plan` tells it, read into values.

Bytes that are left may be less than none: a plan that does not fit says by how much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from .reading import HERE, Told, difference, long_text, read

# What may be otherwise without anybody's doing: a load that is ordered all the same waits for it.
PASSING = ("busy", "new")


@dataclass(frozen=True, slots=True)
class PlacePicture:
    """`device` None is the peer as a whole."""

    peer: str
    device: int | None
    device_name: Annotated[str, Told(or_else="")]


@dataclass(frozen=True, slots=True)
class PartPicture:
    name: str
    num_bytes: Annotated[int, Told("bytes")]
    note: str


@dataclass(frozen=True, slots=True)
class VictimPicture:
    id: str
    num_bytes: Annotated[int, Told("bytes")]
    idle_s: float
    reload_s: float | None


@dataclass(frozen=True, slots=True)
class PlanPicture:
    """`parts` is the sum behind `num_bytes`; `victims` go first. `is_there` needs no load."""

    place: Annotated[PlacePicture, Told(HERE)]
    is_there: bool
    context_tokens: int
    num_slots: Annotated[int, Told("slots")]
    num_bytes: Annotated[int, Told("bytes")]
    parts: tuple[PartPicture, ...]
    free_bytes: Annotated[int, Told(read=difference)]
    victims: tuple[VictimPicture, ...]
    free_after_bytes: Annotated[int, Told(read=difference)]
    seconds: float | None


@dataclass(frozen=True, slots=True)
class RefusalPicture:
    """`wait_s` is when it may be otherwise by itself, where that is known."""

    place: Annotated[PlacePicture, Told(HERE)]
    reason: str
    words: Annotated[str, Told(read=long_text)]
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


def read_planned(told: Mapping[str, Any]) -> PlannedPicture:
    """Raises ValueError where no peer can have said that."""
    return read(PlannedPicture, told)
