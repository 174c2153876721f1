"""The fleet as one peer sees it at one moment: frozen values, made by the fleet's thread and read
by everybody else.

A view is a belief and may be wrong about others; it is never wrong about which peer said what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cortex.engine.costs import ModelCosts
from cortex.engine.types import Capability

from ..gossip.ids import ModelId, NodeId
from ..gossip.records import Address, LoadRecord

# "up" answers, "draining" takes nothing new, "suspect" has not answered of late.
PeerState = Literal["up", "draining", "suspect", "dead", "left"]
PlacementState = Literal["loading", "ready", "unloading"]


@dataclass(frozen=True, slots=True)
class DeviceView:
    """`free_bytes` and `utilisation`, a share of the time, are None where the peer has not said."""

    name: str
    memory_bytes: int
    free_bytes: int | None = None
    utilisation: float | None = None


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model on a peer's disk. `model` names its weights: the same bytes, the same name, wherever
    they lie and whatever they are called. `costs` is what it would take there, once that is known.
    """

    model: ModelId
    id: str
    size_bytes: int
    context_tokens: int
    capabilities: tuple[Capability, ...]
    created_s: int
    costs: ModelCosts | None = None


@dataclass(frozen=True, slots=True)
class PlacedModel:
    """A model in a peer's engine, or on its way there.

    `computes_in` is the engine's word for how it computes, "" while it loads; `percent` is how far
    a load has come. `device` is an index of the peer's devices, and `reserved_bytes` all that the
    model may fill there.
    """

    model: ModelId
    id: str
    state: PlacementState
    size_bytes: int
    context_tokens: int
    computes_in: str = ""
    percent: int | None = None
    device: int = 0
    reserved_bytes: int = 0
    num_slots: int = 0
    is_pinned: bool = False
    priority: int = 0


@dataclass(frozen=True, slots=True)
class PeerView:
    """One peer. `name` is unique among the peers of the view.

    `addresses` are where its fleet port may be, the likeliest first; `api` is HOST:PORT of its
    public API, where that is of use on this machine. `versions` are the oldest and the newest minor
    version of the protocol that it speaks; `key_used` and `keys_held` are names of fleet keys, in
    hex.
    `load` is its newest load record, `silent_s` how long ago it was heard of. Both ages were true
    at `made_s`, by the monotonic clock that the peer's loops go by, and about so ever since.
    `stored` is the same tuple from view to view until the disk changes: who reads it goes by that.
    """

    node: NodeId
    gen: int
    name: str
    state: PeerState
    is_self: bool
    addresses: tuple[Address, ...] = ()
    api: str | None = None
    build: str = ""
    system: str = ""
    versions: tuple[int, int] = (1, 1)
    key_used: str = ""
    keys_held: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    devices: tuple[DeviceView, ...] = ()
    num_cores: int = 0
    memory_bytes: int = 0
    stored: tuple[StoredModel, ...] = ()
    placed: tuple[PlacedModel, ...] = ()
    load: LoadRecord | None = None
    silent_s: float = 0.0
    made_s: float | None = None

    @property
    def reach(self) -> Address | None:
        """Where it was heard last, or else the first address that it tells."""
        return self.addresses[0] if self.addresses else None

    @property
    def is_gone(self) -> bool:
        return self.state in ("dead", "left")

    @property
    def takes_requests(self) -> bool:
        """Whether it is worth asking: a suspect is, where nobody else is left."""
        return self.state in ("up", "suspect")


@dataclass(frozen=True, slots=True)
class FleetView:
    """`fleet` is the name of the key in use, in hex. `version` rises with every change. `peers` has
    this peer first, then the others by name; the dead and those that left stay for a while.

    `notices` are what a person should know: a key refused, a foreign fleet in the network, no
    multicast.
    """

    fleet: str
    self_node: NodeId
    version: int = 0
    peers: tuple[PeerView, ...] = ()
    notices: tuple[str, ...] = field(default=())
    _by_node: Mapping[NodeId, PeerView] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_node", {peer.node: peer for peer in self.peers})

    def peer(self, node: NodeId) -> PeerView | None:
        return self._by_node.get(node)

    @property
    def me(self) -> PeerView:
        mine = self.peer(self.self_node)
        assert mine is not None, "a peer sees itself"
        return mine
