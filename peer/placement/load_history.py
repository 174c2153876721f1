"""How long models took to load in this fleet, and so how long the next load will take.

Own loads are measured, those of others seen in the view, from the first word of them to the model
that is ready. One peer's disk may be ten times as fast as another's: a peer that has loaded the
model is judged by that, and the others by all loads of it. A model that nobody has loaded yet is
judged by its size and by how fast the others came. The times outlive the peer, in a file that
others may keep their own things in.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from cortex.engine.stream import Stage

from ..fleet.view import FleetView, PeerView
from ..gossip.ids import ID_BYTES, ModelId, NodeId
from ..learned_file import read_part, write_part

_MAX_MODELS = 256
_NUM_LOADS = 8
_MAX_NODES = 64
# What this peer's own loads are known under: it has them before it knows what it is called.
HERE = NodeId(bytes(ID_BYTES))
# As many as all peers of a large fleet store, and no more however often they change.
_MAX_SIZES = 16384
# Others' loads are believed where they were seen from near their beginning.
_BEGINNING_PERCENT = 20
# Until so much has been read its speed says little.
_TELLING_SHARE = 0.1
_KEY = "loads"


_Seconds = list[Annotated[float, Meta(ge=0)]]


class _Loads(msgspec.Struct):
    """Of one model, the newest last; `by_node` under the ids in hex, of those that loaded last."""

    size_bytes: Annotated[int, Meta(ge=0)]
    seconds: _Seconds
    by_node: dict[str, _Seconds] = {}


class LoadHistory:
    """Everything but `read` happens on one event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._models: dict[ModelId, _Loads] = {}
        self._s_per_byte: float | None = None
        self._sizes_bytes: dict[ModelId, int] = {}
        self._peers: dict[NodeId, PeerView] = {}
        self._own = HERE
        # When each load under way was first seen.
        self._began_s: dict[tuple[NodeId, ModelId], float] = {}
        self._has_news = False

    def read(self) -> None:
        """Take up what was kept; what cannot be read is as good as nothing."""
        try:
            kept = msgspec.convert(read_part(self._path, _KEY), dict[str, _Loads])
            models = {ModelId(bytes.fromhex(name)): each for name, each in kept.items()}
            s_per_byte = _s_per_byte(models.values())
        except (msgspec.ValidationError, ValueError, OverflowError):
            return
        self._models, self._s_per_byte = models, s_per_byte

    async def save(self) -> None:
        """Keep what is new on disk."""
        if self._has_news:
            self._has_news = False
            loads = {model.hex(): each for model, each in self._models.items()}
            await asyncio.to_thread(write_part, self._path, _KEY, msgspec.to_builtins(loads))

    def add(self, model: ModelId, size_bytes: int, seconds: float, node: NodeId = HERE) -> None:
        """A load has taken so long there."""
        loads = self._models.pop(model, None) or _Loads(size_bytes, [])
        there = loads.by_node.pop(node.hex(), [])
        by_node = loads.by_node | {node.hex(): [*there, seconds][-_NUM_LOADS:]}
        while len(by_node) > _MAX_NODES:
            del by_node[next(iter(by_node))]
        newest = [*loads.seconds, seconds][-_NUM_LOADS:]
        self._models[model] = _Loads(size_bytes, newest, by_node)
        while len(self._models) > _MAX_MODELS:
            del self._models[next(iter(self._models))]
        self._s_per_byte = _s_per_byte(self._models.values())
        self._has_news = True

    def eta_s(self, model: ModelId, size_bytes: int = 0) -> float | None:
        """How long a load takes from now; None where nothing can be said."""
        known = self._models.get(model)
        if known is not None and known.seconds:
            return statistics.median(known.seconds)
        size_bytes = size_bytes or self._sizes_bytes.get(model, 0)
        if self._s_per_byte is None or not size_bytes:
            return None
        return self._s_per_byte * size_bytes

    def eta_at_s(self, node: NodeId, model: ModelId, size_bytes: int = 0) -> float | None:
        """How long a load takes at that peer, as far as that is known, and else in this fleet."""
        known = self._models.get(model)
        key = HERE if node == self._own else node
        there = known.by_node.get(key.hex()) if known else None
        return statistics.median(there) if there else self.eta_s(model, size_bytes)

    def see(self, view: FleetView, now_s: float) -> None:
        """Learn from what other peers show. A peer that shows nothing new costs nothing."""
        self._own = view.self_node
        for peer in view.peers:
            before = self._peers.get(peer.node)
            if before is not peer:
                self._peers[peer.node] = peer
                if before is None or before.stored is not peer.stored:
                    self._see_sizes(peer)
                if not peer.is_self:
                    self._see_loads(peer, now_s)
        for node in self._peers.keys() - {peer.node for peer in view.peers}:
            del self._peers[node]
            self._forget(node, keeping=set())

    def _see_sizes(self, peer: PeerView) -> None:
        for each in peer.stored:
            self._sizes_bytes.pop(each.model, None)
            self._sizes_bytes[each.model] = each.size_bytes
        while len(self._sizes_bytes) > _MAX_SIZES:
            del self._sizes_bytes[next(iter(self._sizes_bytes))]

    def _see_loads(self, peer: PeerView, now_s: float) -> None:
        for placed in peer.placed:
            key = (peer.node, placed.model)
            if placed.state == "loading" and (placed.percent or 0) <= _BEGINNING_PERCENT:
                self._began_s.setdefault(key, now_s)
            elif placed.state == "ready" and key in self._began_s:
                size_bytes = self._sizes_bytes.get(placed.model, placed.size_bytes)
                seconds = now_s - self._began_s.pop(key)
                self.add(placed.model, size_bytes, seconds, peer.node)
        self._forget(peer.node, keeping={placed.model for placed in peer.placed})

    def _forget(self, node: NodeId, keeping: set[ModelId]) -> None:
        for key in [key for key in self._began_s if key[0] == node and key[1] not in keeping]:
            del self._began_s[key]


def _s_per_byte(models: Iterable[_Loads]) -> float | None:
    per_byte = [
        statistics.median(each.seconds) / each.size_bytes
        for each in models
        if each.seconds and each.size_bytes
    ]
    return statistics.median(per_byte) if per_byte else None


def remaining_s(whole_s: float | None, elapsed_s: float, share: float) -> float | None:
    """What is left of a load that has come so far, in its share of bytes; None where it cannot be
    told. Past loads say more than this one's bytes do: some work comes before and behind them.
    """
    if whole_s is not None and elapsed_s < whole_s:
        return whole_s - elapsed_s
    if share >= _TELLING_SHARE:
        return elapsed_s * (1 - share) / share
    return None


def with_eta(stage: Stage, whole_s: float | None, elapsed_s: float) -> Stage:
    """A stage of a load, with what is left of it."""
    share = stage.done / stage.total if stage.name == "loading" and stage.total else 0.0
    return replace(stage, eta_s=remaining_s(whole_s, elapsed_s, share))
