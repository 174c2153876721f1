"""A plan as the API tells it. Values in, plain JSON out."""

from __future__ import annotations

from typing import Any

from ..fleet.view import FleetView
from ..gossip.ids import NodeId
from ..units import rounded
from .books import Resident
from .plan import Plan, Planned, Refusal


def render_planned(model_id: str, planned: Planned, view: FleetView) -> dict[str, Any]:
    """`others` are plans that would do as well, but not as soon."""
    return {
        "model": model_id,
        "plan": None if planned.plan is None else render_plan(planned.plan, view),
        "others": [render_plan(plan, view) for plan in planned.others],
        "refusals": [_refusal(refusal, view) for refusal in planned.refusals],
    }


def render_plan(plan: Plan, view: FleetView) -> dict[str, Any]:
    return {
        **_place(plan.peer, plan.device, view),
        "is_there": plan.is_there,
        "context_tokens": plan.size.context_tokens,
        "slots": plan.size.num_slots,
        "bytes": plan.size.num_bytes,
        "parts": [
            {"name": part.name, "bytes": part.num_bytes, "note": part.note} for part in plan.parts
        ],
        "free_bytes": plan.free_bytes,
        "victims": [_victim(victim) for victim in plan.victims],
        "free_after_bytes": plan.free_after_bytes,
        "seconds": rounded(plan.seconds),
    }


def _place(peer: NodeId, device: int | None, view: FleetView) -> dict[str, Any]:
    seen = view.peer(peer)
    devices = () if seen is None else seen.devices
    is_known = device is not None and device < len(devices)
    return {
        "node": peer.hex(),
        "peer": peer.hex() if seen is None else seen.name,
        "device": device,
        "device_name": devices[device].name if device is not None and is_known else None,
    }


def _victim(victim: Resident) -> dict[str, Any]:
    return {
        "id": victim.id,
        "weights": victim.model.hex(),
        "bytes": victim.reserved_bytes,
        "idle_s": rounded(victim.idle_s),
        "reload_s": rounded(victim.reload_s),
    }


def _refusal(refusal: Refusal, view: FleetView) -> dict[str, Any]:
    return {
        **_place(refusal.peer, refusal.device, view),
        "reason": refusal.reason,
        "words": refusal.words,
        "short_bytes": refusal.short_bytes,
        "needed_bytes": refusal.needed_bytes,
        "wait_s": rounded(refusal.wait_s),
    }
