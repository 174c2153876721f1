"""What the router sees of the hops. A fake of it is a whole fleet in a test."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from cortex.engine.stream import Event, Resume, Vector
from cortex.engine.types import ChatRequest

from ..gossip.ids import ModelId, NodeId
from ..orders.values import Order, Report
from .messages import LeaseAsk, Leased


class Hops(Protocol):
    """The connections to other peers, opened when they are needed and kept.

    All raise what the host ended the request with, as `Node` would have; HostRefused where no
    connection comes about, HostLost where one that was there closes or falls silent, and
    HostLeaving where the host says that it ends. Leaving a wait, or closing an iterator, cancels
    the work there.
    """

    def ask(
        self,
        host: NodeId,
        model: ModelId,
        request: ChatRequest,
        resume: Resume | None = None,
        num_losses: int = 0,
    ) -> AsyncGenerator[Event | Vector]: ...

    async def count(self, host: NodeId, model: ModelId, request: ChatRequest) -> int: ...

    async def lease(self, arbiter: NodeId, wish: LeaseAsk) -> Leased: ...


class OrderHops(Protocol):
    """The same connections, as whoever steers peers sees them."""

    def order(self, host: NodeId, order: Order) -> AsyncGenerator[Report]:
        """What it reports, until it is over. Raises as all of `Hops` do; leaving ends the telling,
        and not what was ordered.
        """
        ...
