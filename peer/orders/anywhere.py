"""A load that is ordered of the fleet and of no peer: where one refuses or fails, the next best has
a try. Each has one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from cortex.engine.errors import CortexError

from ..errors import HostLost, JobCancelled, from_info
from ..fleet.view import PeerView
from ..jobs import Progress
from ..placement.wording import nowhere
from ..routing.tries import fault_of
from .values import Job, LoadOrder, Placed

Tell = Callable[[Progress], None]
# How a peer carries an order out, how it is told that nobody wants the job any more, and how a load
# is carried out here.
CarryOut = Callable[[PeerView, LoadOrder], AsyncGenerator[Job]]
CallOff = Callable[[Job], Awaitable[object]]
LoadHere = Callable[[LoadOrder, Tell], Awaitable[Placed]]

_CALL_OFF_S = 1.0


@dataclass(frozen=True, slots=True)
class Anywhere:
    """`hosts` are those that have the model on disk, the best one first."""

    model_id: str
    order: LoadOrder
    hosts: tuple[PeerView, ...]
    carry_out: CarryOut
    call_off: CallOff

    async def load(self, load_here: LoadHere, tell: Tell) -> Placed:
        """Raises what became of it everywhere, or at once what no peer would do better."""
        said: list[tuple[str, CortexError]] = []
        for host in self.hosts:
            tell(Progress("queued", host=host.node))
            try:
                if host.is_self:
                    return await load_here(self.order, tell)
                return await self._load_at(host, tell)
            except CortexError as error:
                if fault_of(error) == "refused":
                    raise
                said.append((host.name, error))
        raise nowhere(self.model_id, said)

    async def _load_at(self, host: PeerView, tell: Tell) -> Placed:
        job = None
        try:
            async with aclosing(self.carry_out(host, self.order)) as jobs:
                async for job in jobs:
                    stage = job.stage or "queued"
                    tell(Progress(stage, job.done, job.total, job.unit, job.eta_s, host.node))
        except asyncio.CancelledError:
            if job is not None:
                with contextlib.suppress(CortexError, TimeoutError):
                    async with asyncio.timeout(_CALL_OFF_S):
                        await self.call_off(job)
            raise
        if job is not None and job.error is not None:
            raise from_info(job.error)
        if job is None or job.placed is None:
            if job is not None and job.state == "cancelled":
                raise JobCancelled(f"the load was cancelled on {host.name}", "order it again")
            raise HostLost(f"peer '{host.name}' never said how the load ended")
        return job.placed
