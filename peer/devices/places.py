"""The places that models have on a peer's devices, and the wishes that are granted one.

Nothing is decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from cortex.engine.errors import CortexError
from cortex.engine.messages import Loaded
from cortex.engine.stream import Stage

from ..gossip.ids import ModelId
from ..placement.books import DeviceBooks, Need, Resident, ResidentState, Size
from ..placement.context_room import ContextRoom
from ..placement.leaving import LeaveReason
from ..types import ModelInfo, is_same


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of a model is wished for; 0 is as much as there is room for."""

    context_tokens: int = 0
    num_slots: int = 0

    def covers(self, other: Extent) -> bool:
        return self.joined(other) == self

    def joined(self, other: Extent) -> Extent:
        return Extent(
            max(self.context_tokens, other.context_tokens), max(self.num_slots, other.num_slots)
        )


@dataclass(slots=True, eq=False)
class Ticket:
    """One wish for one model, from its asking until it is given back or fails.

    `on_granted` is called for every place that the wish is granted, one after the other, and
    `on_failed` once, for good. `num_losses` counts the engines that died under it, here or where it
    came from. `asked_s` is when it was asked, `granted_s` when it was granted its last place. One
    that `is_forced` is loaded though it has no place by the books. `extent` is what a place has to
    have; less than the `room` that it takes is better than nothing, and one that `has_moved` a
    model for more is granted what came of that. One that `is_rest` is for the rest of an answer.
    """

    model: ModelInfo
    on_stage: Callable[[Stage], None]
    on_granted: Callable[[Place], None]
    on_failed: Callable[[CortexError], None]
    extent: Extent = Extent()
    num_losses: int = 0
    asked_s: float = 0.0
    granted_s: float = 0.0
    is_forced: bool = False
    room: ContextRoom = field(default_factory=ContextRoom)
    has_moved: bool = False
    is_rest: bool = False

    @property
    def has_begun(self) -> bool:
        """It has been served in part, here or elsewhere."""
        return self.is_rest or self.granted_s > 0


@dataclass(slots=True, eq=False)
class Place:
    """A model on a device, from the beginning of its load until it has gone.

    `extent` is what was wished for, `size` what it was given, of a device that had `free_bytes`;
    `victims` went for it, and until they have, their bytes are not counted again as its own: those
    of `leavers`. Nothing else is done beside a load that `is_quiet`, and one that `is_home` is
    wanted without anybody's asking. `began_s` is when it was decided on, `stage` how far the load
    has come, and `loaded` what the engine said at its end. One that `leaves` takes no new work, and
    goes when it is idle; `gone` is set when it has. Orders to go, its `unloads`, wait for that, and
    wishes that are `served_first` are granted it all the same. One that was forced in is
    `over_bytes` larger than what there was, which the books do not count: else it would go as soon
    as it is idle.
    """

    model: ModelInfo
    device: int
    size: Size
    need: Need
    extent: Extent = Extent()
    victims: tuple[Resident, ...] = ()
    leavers: Sequence[Place] = ()
    free_bytes: int = 0
    over_bytes: int = 0
    is_quiet: bool = False
    is_home: bool = False
    began_s: float = 0.0
    state: ResidentState = "loading"
    stage: Stage | None = None
    loaded: Loaded | None = None
    ready_s: float = 0.0
    used_s: float = 0.0
    leaves: LeaveReason | None = None
    served_first: set[Ticket] = field(default_factory=set[Ticket])
    unloads: list[asyncio.Future[bool]] = field(default_factory=list[asyncio.Future[bool]])
    holders: list[Ticket] = field(default_factory=list[Ticket])
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def computes_in(self) -> str:
        return "" if self.loaded is None else self.loaded.computes_in

    @property
    def held_bytes(self) -> int:
        """What it takes of the device by the books."""
        return self.size.num_bytes - self.over_bytes

    def serves(self, model: ModelInfo, extent: Extent) -> bool:
        """Whether it is what was wished for, once it is ready: a prompt made by limits that were
        raised since it was loaded waits until it is loaded with these.
        """
        given = self.extent.joined(Extent(self.size.context_tokens, self.size.num_slots))
        was_loaded_for = self.model.context_length >= model.context_length
        is_it = is_same(model, self.model) and was_loaded_for
        return is_it and self.model.wishes.cover(model.wishes) and given.covers(extent)

    def grants(self, ticket: Ticket) -> bool:
        """Whether the wish may be granted it, as to its leaving."""
        return self.leaves is None or (self.leaves == "asked" and ticket in self.served_first)

    def end_unloads(self, *, has_gone: bool) -> None:
        orders, self.unloads = self.unloads, []
        for order in orders:
            if not order.done():  # who waited for it may have been cancelled just now
                order.set_result(has_gone)

    def resident(self, now_s: float, *, is_pinned: bool) -> Resident:
        is_ready = self.state == "ready"
        still_there = [each for each in self.leavers if not each.gone.is_set()]
        return Resident(
            ModelId(self.model.weights),
            self.model.id,
            self.state,
            self.held_bytes - sum(each.held_bytes for each in still_there),
            num_inflight=len(self.holders),
            busy_s=max((now_s - ticket.granted_s for ticket in self.holders), default=0.0),
            idle_s=now_s - self.used_s if is_ready and not self.holders else 0.0,
            age_s=now_s - self.ready_s if is_ready else 0.0,
            reload_s=None if self.loaded is None else self.loaded.seconds,
            is_pinned=is_pinned,
            priority=self.need.priority,
        )


class PlaceBook:
    """All of them. A model has one place at most."""

    def __init__(self) -> None:
        self._by_id: dict[str, Place] = {}

    def __iter__(self) -> Iterator[Place]:
        return iter(tuple(self._by_id.values()))

    def __contains__(self, model_id: str) -> bool:
        return model_id in self._by_id

    def of(self, model_id: str) -> Place | None:
        return self._by_id.get(model_id)

    def add(self, place: Place) -> None:
        self._by_id[place.model.id] = place

    def forget(self, place: Place) -> None:
        """It has gone. One that has been forgotten before is another model's place, maybe."""
        if self.has(place):
            del self._by_id[place.model.id]
        place.gone.set()
        place.end_unloads(has_gone=True)

    def has(self, place: Place) -> bool:
        return self._by_id.get(place.model.id) is place

    def on(self, device: int) -> list[Place]:
        return [place for place in self if place.device == device]

    def holders_on(self, device: int) -> list[Ticket]:
        return [ticket for place in self.on(device) for ticket in place.holders]

    def books(
        self, devices: Sequence[DeviceBooks], pinned: Collection[str], now_s: float
    ) -> list[DeviceBooks]:
        """The devices with what is on them."""
        return [
            replace(
                device,
                residents=tuple(
                    place.resident(now_s, is_pinned=place.model.id in pinned)
                    for place in self.on(device.index)
                ),
            )
            for device in devices
        ]
