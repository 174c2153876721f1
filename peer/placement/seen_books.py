"""The books of a peer's devices, as it tells the fleet of them. Pure.

They are as old as its word, and coarse: what a peer says of itself to itself is exact.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..fleet.view import DeviceView, PeerView, PlacedModel
from ..gossip.records import ModelLoad
from .ages import least_age_s
from .books import DeviceBooks, Eta, Resident, Rules


def seen_books(peer: PeerView, rules: Rules, eta_s: Eta) -> Iterator[DeviceBooks]:
    """A peer's devices, as far as it tells of them: one that tells nothing has no books."""
    for index, device in enumerate(peer.devices):
        residents = tuple(_residents(peer, index, rules, eta_s))
        reserved_bytes = sum(one.reserved_bytes for one in residents)
        free_bytes = _free_bytes(device, reserved_bytes)
        if free_bytes is not None:
            budget_bytes = device.memory_bytes or free_bytes + reserved_bytes
            foreign_bytes = max(0, budget_bytes - reserved_bytes - free_bytes)
            yield DeviceBooks(index, device.name, budget_bytes, foreign_bytes, residents)


def _free_bytes(device: DeviceView, reserved_bytes: int) -> int | None:
    if device.free_bytes is None and device.memory_bytes:
        return device.memory_bytes - reserved_bytes
    return device.free_bytes


def _residents(peer: PeerView, index: int, rules: Rules, eta_s: Eta) -> Iterator[Resident]:
    loads = {} if peer.load is None else {load.model: load for load in peer.load.models}
    for placed in peer.placed:
        if placed.device == index:
            yield _resident(placed, loads.get(placed.model), rules, eta_s)


def _resident(placed: PlacedModel, load: ModelLoad | None, rules: Rules, eta_s: Eta) -> Resident:
    """Of which no ages are told has been there, and idle, for as long as it has to be."""
    idle_s = least_age_s(load.idle_step) if load else None
    age_s = least_age_s(load.age_step) if load else None
    return Resident(
        placed.model,
        placed.id,
        placed.state,
        placed.reserved_bytes or placed.size_bytes,
        num_inflight=load.num_inflight + load.num_queued if load else 0,
        idle_s=rules.min_residency_s if idle_s is None else idle_s,
        age_s=rules.min_residency_s if age_s is None else age_s,
        reload_s=eta_s(placed.model, placed.size_bytes),
        is_pinned=placed.is_pinned,
        priority=placed.priority,
    )
