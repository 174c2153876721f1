"""What has happened in a fleet, as `event: happening` of `GET /fleet/events` tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from .reading import Told, read, unix_time


@dataclass(frozen=True, slots=True)
class Happening:
    """`what` is a word for programs (loading, loaded, unloaded, evicted, failed, failover, joined,
    left, suspect, dead and what newer peers know), `text` a sentence for people. `peer` is the name
    of the one that it happened to, `model` empty where it is about none. `time_s` is of Unix.
    """

    time_s: Annotated[float, Told("time", unix_time)]
    peer: str
    what: str
    model: Annotated[str, Told(or_else="")]
    text: str


def read_happening(told: Mapping[str, Any]) -> Happening:
    """Raises ValueError where no peer can have said that."""
    return read(Happening, told)
