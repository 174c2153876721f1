"""How a peer is, as values: what it says of itself at once, without asking anybody."""

from __future__ import annotations

from dataclasses import dataclass

from cortex.engine.messages import Alive, Loaded
from cortex.engine.types import Stage

from .children import ChildSlot, SlotState
from .types import ModelInfo


@dataclass(frozen=True, slots=True)
class ChildHealth:
    """`last_alive` is what the child said of itself within the last second or so, if it is up.

    `last_end` is how the one before it ended, where it was not told to.
    """

    state: SlotState
    pid: int | None
    last_alive: Alive | None
    num_restarts: int
    last_end: str | None


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """`loaded` is what the engine said when it had loaded its model."""

    engine: ChildHealth
    text: ChildHealth
    model: str | None
    loaded: Loaded | None
    loading: str | None
    live_requests: int
    is_draining: bool


@dataclass(frozen=True, slots=True)
class Placement:
    """What is in the engine, and what is to come there.

    `loaded` is what the engine said of the `resident` model. `stage` is how far the load of
    `loading` has come. `wanted` are the models of requests that wait for one, a request each.
    """

    resident: ModelInfo | None
    loaded: Loaded | None
    loading: ModelInfo | None
    stage: Stage | None
    wanted: tuple[ModelInfo, ...]
    num_granted: int


def child_health(slot: ChildSlot) -> ChildHealth:
    return ChildHealth(slot.state, slot.pid, slot.last_alive, slot.num_restarts, slot.last_end)
