"""A view of the fleet as `GET /fleet` and `GET /fleet/events` tell it. Values in, plain JSON out.

What happened is told as events that overwrite: whoever missed some is put right by the next. Ages
grow by themselves and are no news, so they travel apart from what changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..addresses import authority
from ..gossip.records import LoadRecord
from .view import DeviceView, FleetView, PeerView, PlacedModel, StoredModel

_DECISECONDS = 10


def render_view(view: FleetView, now_s: float) -> dict[str, Any]:
    """`now_s` is of the clock of `made_s`: ages are told as they are now."""
    return {
        "fleet": view.fleet,
        "self": view.self_node.hex(),
        "peers": [_peer(peer, now_s) for peer in view.peers],
        "notices": list(view.notices),
    }


def news(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events that make of one rendered view the other, but for the ages."""
    if (before["fleet"], before["self"]) != (after["fleet"], after["self"]):
        yield "snapshot", after
        return
    known = {peer["node"]: _without_ages(peer) for peer in before["peers"]}
    for peer in after["peers"]:
        if known.pop(peer["node"], None) != _without_ages(peer):
            yield "peer", peer
    for node in known:
        yield "gone", {"node": node}
    if before["notices"] != after["notices"]:
        yield "notices", {"notices": after["notices"]}


def ages(told: dict[str, Any]) -> dict[str, Any]:
    """How long ago each peer was heard of, and how old its load record is."""
    return {peer["node"]: [peer["silent_s"], _load_age_s(peer)] for peer in told["peers"]}


def _peer(peer: PeerView, now_s: float) -> dict[str, Any]:
    held_s = 0.0 if peer.made_s is None else max(now_s - peer.made_s, 0.0)
    return {
        "node": peer.node.hex(),
        "name": peer.name,
        "state": _state(peer),
        "api": peer.api,
        "address": None if peer.reach is None else authority(peer.reach.ip, peer.reach.port),
        "devices": [_device(device) for device in peer.devices],
        "models": [_placed(model, peer.load) for model in peer.placed],
        "stored": [_stored(model) for model in peer.stored],
        "load": None if peer.load is None else _load(peer.load, held_s),
        "silent_s": 0.0 if peer.is_self else round(peer.silent_s + held_s, 1),
        "build": peer.build,
        "protocol": list(peer.versions),
        "keys": {"used": peer.key_used, "held": list(peer.keys_held)},
        "system": peer.system,
        "roles": list(peer.roles),
        "cores": peer.num_cores,
        "memory_bytes": peer.memory_bytes,
    }


def _state(peer: PeerView) -> str:
    is_loading = any(model.state == "loading" for model in peer.placed)
    return "loading" if peer.state == "up" and is_loading else peer.state


def _device(device: DeviceView) -> dict[str, Any]:
    return {
        "name": device.name,
        "memory_bytes": device.memory_bytes,
        "free_bytes": device.free_bytes,
        "utilisation": device.utilisation,
    }


def render_placed(model: PlacedModel, load: LoadRecord | None) -> dict[str, Any]:
    """How a model is placed, and how busy it is there by the peer's load."""
    busy = None if load is None else load.of(model.model)
    return {
        "device": model.device,
        "state": model.state,
        "percent": model.percent,
        "context_tokens": model.context_tokens,
        "slots": model.num_slots,
        "reserved_bytes": model.reserved_bytes,
        "pinned": model.is_pinned,
        "priority": model.priority,
        "running": None if busy is None else busy.num_inflight,
        "waiting": None if busy is None else busy.num_queued,
    }


def _placed(model: PlacedModel, load: LoadRecord | None) -> dict[str, Any]:
    return render_placed(model, load) | {
        "id": model.id,
        "weights": model.model.hex(),
        "computes_in": model.computes_in,
        "size_bytes": model.size_bytes,
    }


def _stored(model: StoredModel) -> dict[str, Any]:
    return {
        "id": model.id,
        "weights": model.model.hex(),
        "size_bytes": model.size_bytes,
        "context_tokens": model.context_tokens,
        "capabilities": list(model.capabilities),
    }


def _load(load: LoadRecord, held_s: float) -> dict[str, Any]:
    return {
        "inflight": load.num_inflight,
        "queued": load.num_queued,
        "decode_tokens_per_s": load.decode_tokens_per_s,
        "first_token_ms": load.first_token_ms,
        "kv_percent": load.kv_percent,
        "age_s": round(load.age_ds / _DECISECONDS + held_s, 1),
    }


def _without_ages(peer: dict[str, Any]) -> dict[str, Any]:
    load = peer["load"]
    if load is not None:
        load = {name: value for name, value in load.items() if name != "age_s"}
    return peer | {"silent_s": None, "load": load}


def _load_age_s(peer: dict[str, Any]) -> float | None:
    return None if peer["load"] is None else peer["load"]["age_s"]
