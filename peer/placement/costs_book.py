"""What models cost on this peer: asked of the engine once, and put right by what loads have taken.

Costs are kept by the weights and by the setting they are computed in: the wishes for dtype, kernels
and pictures, and the kind of device. What a load took beside what was expected is learned, and told
to other peers with the costs; where nothing was loaded here yet, what they have learned on the same
kind of device serves. Everything but reading and writing happens on one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from cortex.engine.costs import ModelCosts
from cortex.engine.messages import Loaded

from ..config import PeerConfig
from ..devices.hardware import read_hardware
from ..fleet.view import FleetView, StoredModel
from ..gossip.ids import ModelId, NodeId
from ..learned_file import read_part, write_part
from ..private_file import write_private
from ..types import ModelInfo

# What an engine would say of a model. Raises what it raises.
AskCosts = Callable[[ModelInfo], Awaitable[ModelCosts]]

_MAX_MODELS = 512
_NUM_LOADS = 8
# A load that took much less or more was disturbed.
_LEAST_RATIO, _MOST_RATIO = 0.8, 1.5
_PART = "costs"
# Another way to estimate gives other costs, and forgets those of this one.
_WAY = "3"

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_Ratio = Annotated[float, Meta(ge=_LEAST_RATIO, le=_MOST_RATIO)]
_Ratios = Annotated[list[_Ratio], Meta(min_length=1)]


class _Body(msgspec.Struct):
    way: str
    costs: dict[str, ModelCosts]


def setting_of(config: PeerConfig, kind: str) -> str:
    """All that costs depend on beside a model's files and what is wished of it, in words."""
    wishes = config.wishes
    return " ".join((config.engine, wishes.mode, wishes.dtype, wishes.kernels, kind))


def own_kind(config: PeerConfig) -> str:
    """The kind of this peer's first device: the others are believed to be like it."""
    devices = read_hardware(config).devices
    return device_kind(devices[0].name) if devices else "none"


def device_kind(name: str) -> str:
    """Processors are alike in what a model takes; GPUs where they have the same name."""
    return "cpu" if name == "cpu" or name.endswith(" cores") else name


class CostsBook:
    """`ask` is asked for one model at a time; `kind` is that of the device. Before `known` says
    anything else, `num_changes` has grown.
    """

    def __init__(
        self, path: Path, learned_path: Path, setting: str, kind: str, ask: AskCosts
    ) -> None:
        self._path, self._learned_path = path, learned_path
        self._setting, self._kind = setting, kind
        self._ask = ask
        self._asking = asyncio.Lock()
        # By weights and setting, in words, the oldest first: what is kept on disk.
        self._costs: dict[str, ModelCosts] = {}
        self._ratios: dict[str, list[float]] = {}
        # Models whose weights nobody has looked at yet.
        self._unnamed: dict[Hashable, ModelCosts] = {}
        # What loads elsewhere were larger by.
        self._others: dict[ModelId, ModelCosts] = {}
        # Of each peer, what it stores where it has a device of this kind.
        self._seen: dict[NodeId, tuple[StoredModel, ...]] = {}
        self._has_new_costs = self._has_new_ratios = False
        self.num_changes = 0

    def read(self) -> None:
        """Take up what was kept; what cannot be read is asked for again. Not for the loop."""
        with contextlib.suppress(OSError, msgspec.MsgspecError, ValueError, RecursionError):
            body = msgspec.json.decode(self._path.read_bytes(), type=_Body)
            self._costs = body.costs if body.way == _WAY else {}
        with contextlib.suppress(msgspec.ValidationError):
            kept = read_part(self._learned_path, _PART)
            self._ratios = msgspec.convert(kept, dict[str, _Ratios])

    async def save(self) -> None:
        """Keep what is new on disk."""
        if self._has_new_costs:
            self._has_new_costs = False
            body = msgspec.json.encode(_Body(_WAY, dict(self._costs))).decode()
            with contextlib.suppress(OSError):  # found again at the next start
                await asyncio.to_thread(write_private, self._path, body)
        if self._has_new_ratios:
            self._has_new_ratios = False
            ratios = {key: list(each) for key, each in self._ratios.items()}
            await asyncio.to_thread(write_part, self._learned_path, _PART, ratios)

    def known(self, model: ModelInfo) -> ModelCosts | None:
        """By the best of knowledge, what was learned included; None where nobody has asked yet."""
        if not model.weights:
            return self._unnamed.get(_place(model))
        costs = self._costs.get(self._key(model)) or self._unnamed.get(_place(model))
        return None if costs is None else self._corrected(model, costs)

    async def find(self, model: ModelInfo) -> ModelCosts:
        """`known`, asked of the engine where it is not. Raises what that raises."""
        async with self._asking:
            known = self.known(model)
            if known is not None:
                return known
            costs = await self._ask(model)
            if model.weights:
                _put(self._costs, self._key(model), costs)
                self._has_new_costs = True
            else:
                _put(self._unnamed, _place(model), costs)
            self.num_changes += 1
        return self.known(model) or costs

    def learn(self, model: ModelInfo, loaded: Loaded) -> None:
        """A load has taken what it says."""
        if not (model.weights and loaded.measured_bytes and loaded.estimated_bytes):
            return
        ratio = loaded.measured_bytes / loaded.estimated_bytes
        if _LEAST_RATIO <= ratio <= _MOST_RATIO:
            key = self._key(model)
            _put(self._ratios, key, [*self._ratios.get(key, ()), ratio][-_NUM_LOADS:])
            self._has_new_ratios = True
            self.num_changes += 1

    def see(self, view: FleetView) -> None:
        """Learn from other peers with a device of this kind. One that tells nothing new costs
        nothing.
        """
        for peer in view.peers:
            is_alike = any(device_kind(device.name) == self._kind for device in peer.devices)
            stored = peer.stored if is_alike and not peer.is_self else ()
            if self._seen.get(peer.node) is not stored:
                self._seen[peer.node] = stored
                self._learn_elsewhere(stored)
        for node in self._seen.keys() - {peer.node for peer in view.peers}:
            del self._seen[node]

    def _learn_elsewhere(self, stored: Iterable[StoredModel]) -> None:
        for each in stored:
            if each.costs is not None and each.costs.num_learned:
                self.num_changes += self._others.get(each.model) != each.costs
                _put(self._others, each.model, each.costs)

    def _corrected(self, model: ModelInfo, costs: ModelCosts) -> ModelCosts:
        ratios = self._ratios.get(self._key(model))
        if ratios:
            more_bytes = round(costs.loaded_bytes * (statistics.median(ratios) - 1))
            return replace(costs, learned_bytes=more_bytes, num_learned=len(ratios))
        other = self._others.get(ModelId(model.weights))
        # In another dtype the weights take something else.
        if other is None or other.weights_bytes != costs.weights_bytes:
            return costs
        most_bytes = round(costs.loaded_bytes * (_MOST_RATIO - 1))
        least_bytes = round(costs.loaded_bytes * (_LEAST_RATIO - 1))
        more_bytes = max(least_bytes, min(other.learned_bytes, most_bytes))
        return replace(costs, learned_bytes=more_bytes, num_learned=other.num_learned)

    def _key(self, model: ModelInfo) -> str:
        """What is wished of the model alone changes what it takes."""
        wishes, pixels = model.wishes, model.wishes.pixels
        own = (wishes.dtype, pixels.min_pixels, pixels.max_pixels)
        spelt = "".join(f" {each or '-'}" for each in own) if any(own) else ""
        return f"{model.weights.hex()} {self._setting}{spelt}"


def costs_book(config: PeerConfig, ask: AskCosts) -> CostsBook:
    """That of a peer."""
    state_dir, kind = config.locations.state_dir, own_kind(config)
    paths = state_dir / "costs.json", state_dir / "learned.json"
    return CostsBook(*paths, setting_of(config, kind), kind, ask)


def _place(model: ModelInfo) -> Hashable:
    return model.id, model.dir, model.created_s, model.wishes


def _put(kept: dict[K, V], key: K, value: V) -> None:
    """As the newest; beyond the bound the oldest goes."""
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > _MAX_MODELS:
        del kept[next(iter(kept))]
