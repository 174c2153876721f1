"""A view of the fleet as `GET /fleet` and `GET /fleet/events` tell it. Values in, plain JSON out.

What happened is told as events that overwrite: whoever missed some is put right by the next. Ages
grow by themselves and are no news, so they travel apart from what changes; and of what a peer has
on its disks, which is most of what there is to tell, is told again only what has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..addresses import authority
from ..gossip.ids import NodeId
from ..gossip.records import LoadRecord
from .view import DeviceView, FleetView, PeerView, PlacedModel, StoredModel

_DECISECONDS = 10


@dataclass(frozen=True, slots=True)
class Rendered:
    """`peers` by their nodes, in the view's order and without their ages. `now_s` is everywhere of
    the clock of `made_s`: ages are told as they are now.
    """

    view: FleetView
    peers: Mapping[NodeId, dict[str, Any]]

    def whole(self, now_s: float) -> dict[str, Any]:
        return {
            "fleet": self.view.fleet,
            "self": self.view.self_node.hex(),
            "peers": [self._aged(peer, now_s) for peer in self.view.peers],
            "notices": list(self.view.notices),
        }

    def news(self, before: Rendered, now_s: float) -> Iterator[tuple[str, dict[str, Any]]]:
        """The events that make this of the one before, but for the ages."""
        now, then = self.view, before.view
        if (then.fleet, then.self_node) != (now.fleet, now.self_node):
            yield "snapshot", self.whole(now_s)
            return
        for peer in now.peers:
            old, new = before.peers.get(peer.node), self.peers[peer.node]
            # Most are the same object, and some others are told alike.
            if old is not new and old != new:
                yield "peer", _what_is_new(old, self._aged(peer, now_s))
        for node in before.peers.keys() - self.peers.keys():
            yield "gone", {"node": node.hex()}
        if then.notices != now.notices:
            yield "notices", {"notices": list(now.notices)}

    def ages(self, now_s: float) -> dict[str, Any]:
        """How long ago each peer was heard of, and how old its load record is."""
        return {
            peer.node.hex(): [_silent_s(peer, now_s), _load_age_s(peer, now_s)]
            for peer in self.view.peers
        }

    def _aged(self, peer: PeerView, now_s: float) -> dict[str, Any]:
        """A peer of the view with its ages."""
        told = self.peers[peer.node]
        aged = told | {"silent_s": _silent_s(peer, now_s)}
        if told["load"] is not None:
            aged["load"] = told["load"] | {"age_s": _load_age_s(peer, now_s)}
        return aged


class Renderer:
    """Renders of each view what is new in it, once for all who look on."""

    def __init__(self) -> None:
        self._newest = Rendered(FleetView("", NodeId(b"")), {})

    def render(self, view: FleetView) -> Rendered:
        before = self._newest
        if before.view is not view:
            peers = {peer.node: _rendered(peer, before) for peer in view.peers}
            self._newest = Rendered(view, peers)
        return self._newest


def _rendered(peer: PeerView, newest: Rendered) -> dict[str, Any]:
    before = newest.view.peer(peer.node)
    if before is peer:
        return newest.peers[peer.node]
    if before is not None and before.stored is peer.stored:
        return _peer(peer, newest.peers[peer.node]["stored"])
    return _peer(peer, [_stored(model) for model in peer.stored])


def _what_is_new(before: dict[str, Any] | None, told: dict[str, Any]) -> dict[str, Any]:
    if before is not None and before["stored"] == told["stored"]:
        del told["stored"]
    return told


def _silent_s(peer: PeerView, now_s: float) -> float:
    return 0.0 if peer.is_self else round(peer.silent_s + _held_s(peer, now_s), 1)


def _load_age_s(peer: PeerView, now_s: float) -> float | None:
    if peer.load is None:
        return None
    return round(peer.load.age_ds / _DECISECONDS + _held_s(peer, now_s), 1)


def _held_s(peer: PeerView, now_s: float) -> float:
    return 0.0 if peer.made_s is None else max(now_s - peer.made_s, 0.0)


def _peer(peer: PeerView, stored: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "node": peer.node.hex(),
        "name": peer.name,
        "state": _state(peer),
        "api": peer.api,
        "address": None if peer.reach is None else authority(peer.reach.ip, peer.reach.port),
        "devices": [_device(device) for device in peer.devices],
        "models": [_placed(model, peer.load) for model in peer.placed],
        "stored": stored,
        "load": None if peer.load is None else _load(peer.load),
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


def _load(load: LoadRecord) -> dict[str, Any]:
    return {
        "inflight": load.num_inflight,
        "queued": load.num_queued,
        "decode_tokens_per_s": load.decode_tokens_per_s,
        "first_token_ms": load.first_token_ms,
        "kv_percent": load.kv_percent,
    }
