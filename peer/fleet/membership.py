"""What the rest of a peer sees of the fleet's thread. Everything here is called on the peer's own
loop, returns at once unless it is awaited, and may be replaced by a fake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..gossip.ids import ModelId, NodeId
from ..gossip.messages import LoadAnswer
from ..gossip.receiving import Cause
from ..gossip.records import NO_LOAD, LoadRecord
from ..gossip.sections import Claim, LoadedModel
from .view import FleetView, StoredModel


@dataclass(frozen=True, slots=True)
class OwnState:
    """What this peer tells the fleet of itself: changed as a whole, told in the sections that it
    touches and in its load record, whose node and counter the core fills in.

    `slots` is how many requests it takes at one time, waiting ones included. `stay_ms` is how long
    one of those that are here stays, 0 where none has ended yet; `stays_ms` the same by model, of
    those that answer and with which one has ended.
    """

    stored: tuple[StoredModel, ...] = ()
    placed: tuple[LoadedModel, ...] = ()
    claims: tuple[Claim, ...] = ()
    load: LoadRecord = NO_LOAD
    slots: int = 0
    stay_ms: int = 0
    stays_ms: Mapping[ModelId, int] = field(default_factory=dict[ModelId, int])


@dataclass(frozen=True, slots=True)
class GossipCounters:
    """What the fleet's datagrams have come to since the start, sealed as they travel."""

    sent_bytes: int = 0
    received_bytes: int = 0
    # By why they were dropped.
    num_dropped: Mapping[Cause, int] = field(default_factory=dict[Cause, int])


class Membership(Protocol):
    @property
    def view(self) -> FleetView:
        """The newest one."""
        ...

    @property
    def counters(self) -> GossipCounters: ...

    def watch(self, on_view: Callable[[FleetView], None]) -> Callable[[], None]:
        """Call this on the loop, soon after each change; what is returned ends that."""
        ...

    def tell(self, state: OwnState) -> None:
        """What is true of this peer from now on."""
        ...

    async def ask_loads(
        self, nodes: Sequence[NodeId], model: ModelId, limit_s: float
    ) -> Mapping[NodeId, LoadAnswer]:
        """How busy these are just now; who does not answer within the limit is missing."""
        ...

    def doubt(self, node: NodeId) -> None:
        """A connection to it was refused or broke: probe it at once."""
        ...
