"""How a peer is, as values: what it says of itself at once, without asking anybody."""

from __future__ import annotations

from dataclasses import dataclass

from cortex.engine.messages import Alive, Loaded
from cortex.engine.stream import Stage

from ..children.slot import ChildSlot, SlotState
from ..placement.books import DeviceBooks, ResidentState, Size
from ..types import ModelInfo


@dataclass(frozen=True, slots=True)
class ChildHealth:
    """`last_alive` is what the child said of itself within the last second or so, if it is up. One
    that `is_still` has had work for some seconds and done nothing of it.

    `num_restarts` have ended once they were up without having been told to, and `last_end` is how
    the last of those ended, or one that did not start. While that is how the last start went, or
    they keep ending, it `is_failing`.
    """

    state: SlotState
    pid: int | None
    last_alive: Alive | None
    num_restarts: int
    last_end: str | None
    is_still: bool = False
    is_failing: bool = False


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """`engines` are in the order of the peer's devices."""

    engines: tuple[ChildHealth, ...]
    text: ChildHealth
    live_requests: int
    is_draining: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """A model on a device, or on its way there or away.

    `loaded` is what the engine said of it, once it was ready; `stage` is how far its load has come.
    `num_granted` requests have it.
    """

    model: ModelInfo
    device: int
    state: ResidentState
    size: Size
    loaded: Loaded | None = None
    stage: Stage | None = None
    num_granted: int = 0
    idle_s: float = 0.0
    age_s: float = 0.0
    is_pinned: bool = False
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """What is on the `devices`, and what is to come there. `wanted` are the models of requests that
    wait for one, a request each.
    """

    devices: tuple[DeviceBooks, ...] = ()
    placed: tuple[Placed, ...] = ()
    wanted: tuple[ModelInfo, ...] = ()

    def of(self, model_id: str) -> Placed | None:
        return next((each for each in self.placed if each.model.id == model_id), None)

    @property
    def ready(self) -> tuple[Placed, ...]:
        return tuple(each for each in self.placed if each.state == "ready")


def child_health(slot: ChildSlot, *, is_still: bool = False) -> ChildHealth:
    told = slot.state, slot.pid, slot.last_alive, slot.num_restarts, slot.last_end
    return ChildHealth(*told, is_still, slot.is_failing)
