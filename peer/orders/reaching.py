"""Orders on their way to the peer that carries them out, and what it reports of them: this one by
its desk, others over the hop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

from cortex.engine.errors import CortexError

from ..errors import HostLost, HostRefused, HostUnread
from ..fleet.view import PeerView
from ..hop.hops import OrderHops
from .desk import OrderDesk
from .values import Job, Order, Report

R = TypeVar("R", bound=Report)

# A peer that takes orders says something at once.
FIRST_WORD_S = 5.0


class Reach:
    def __init__(self, desk: OrderDesk, hops: OrderHops, first_word_s: float) -> None:
        self._desk = desk
        self._hops = hops
        self._first_word_s = first_word_s

    async def reports(self, peer: PeerView, order: Order) -> AsyncGenerator[Report]:
        """At least one. Raises what the peer refuses with, or HostLost."""
        if peer.is_self:
            async with aclosing(self._desk.carry_out(order)) as reports:
                async for report in reports:
                    yield report
            return
        async with aclosing(self._hops.order(peer.node, order)) as reports:
            try:
                async with asyncio.timeout(self._first_word_s):
                    first = await anext(reports)
                yield first
                async for report in reports:
                    yield report
            except (TimeoutError, StopAsyncIteration):
                raise HostRefused(
                    f"peer '{peer.name}' takes no orders",
                    f"it runs {peer.build or 'an older cortex'}: update it, or ask it itself",
                ) from None
            except HostRefused as error:
                raise HostRefused(
                    f"peer '{peer.name}' cannot be reached: {error.message}", error.hint
                ) from error
            except HostUnread as error:
                raise HostUnread(
                    f"peer '{peer.name}' reports of the order in words that are not known here,"
                    " and carries it out all the same",
                    error.hint,
                ) from error
            except HostLost as error:
                raise HostLost(
                    f"peer '{peer.name}' was lost before it said how the order ended:"
                    f" {error.message}",
                    "look at what has become of it: cortex status",
                ) from error

    async def first(self, peer: PeerView, order: Order) -> Report:
        """What a peer says to an order at once."""
        async with aclosing(self.reports(peer, order)) as reports:
            return await anext(reports)

    async def answer(self, kind: type[R], peer: PeerView, order: Order) -> R:
        """The same, of an order that is answered with one kind of report."""
        async with aclosing(self.of(kind, peer, order)) as reports:
            return await anext(reports)

    async def last(self, peer: PeerView, order: Order) -> Report:
        """What a peer says to an order at last."""
        async with aclosing(self.reports(peer, order)) as reports:
            last = await anext(reports)
            async for report in reports:
                last = report
            return last

    async def of(self, kind: type[R], peer: PeerView, order: Order) -> AsyncGenerator[R]:
        """What it reports of one kind, at least one. Raises HostLost where it begins with another:
        it may be of any version.
        """
        async with aclosing(self.reports(peer, order)) as reports:
            first = await anext(reports)
            if not isinstance(first, kind):
                raise HostLost(
                    f"peer '{peer.name}' said something else than what was asked",
                    f"it runs {peer.build or 'another cortex'}: update both to one version",
                )
            yield first
            async for report in reports:
                if isinstance(report, kind):
                    yield report

    def jobs(self, peer: PeerView, order: Order) -> AsyncGenerator[Job]:
        return self.of(Job, peer, order)

    async def all(
        self, peers: Sequence[PeerView], order: Order
    ) -> list[tuple[PeerView, Report | CortexError]]:
        """What each of them says at once, or refuses with."""
        answers = await asyncio.gather(*(self._said(peer, order) for peer in peers))
        return list(zip(peers, answers, strict=True))

    async def _said(self, peer: PeerView, order: Order) -> Report | CortexError:
        try:
            return await self.first(peer, order)
        except CortexError as error:
            return error
