"""What this peer tells the fleet of itself: its node, seen from outside.

It watches the node and speaks when something has changed, at most twenty times a second; where
nothing changes it looks once a second, for numbers that nobody announces, and at the disks from
time to time. What the fleet makes of it is not known here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from ..node import Node
from .membership import Membership, OwnState
from .own_state import own_state
from .rates import RateMeter, Rates, summed
from .speeds import Speeds
from .view import FleetView

logger = logging.getLogger(__name__)

_SHORTEST_REST_S = 0.05
_LOOK_S = 1.0
_DISKS_S = 10.0


class Reporter:
    """`run` it for as long as the peer is a member."""

    def __init__(
        self,
        node: Node,
        membership: Membership,
        clock: Callable[[], float],
    ) -> None:
        self._node = node
        self._membership = membership
        self._clock = clock
        self._measured_s = clock()
        self._meter, self._speeds, self._rates = RateMeter(), Speeds(), Rates()
        self._told: OwnState | None = None
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Tell until cancelled."""
        unwatch_node = self._node.watch(self._changed.set)
        unwatch_view = self._membership.watch(self._learn)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._look_at_disks(), name="look at disks")
                while True:
                    self._tell()
                    await asyncio.sleep(_SHORTEST_REST_S)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_S):
                            await self._changed.wait()
        finally:
            unwatch_node()
            unwatch_view()

    async def _look_at_disks(self) -> None:
        """A model that was copied in is offered soon after, without anybody's asking."""
        steps = (self._node.shelf.weigh, self._node.survey, self._node.save)
        last = [""] * len(steps)
        while True:
            for index, step in enumerate(steps):
                last[index] = await _done(step, last[index])
                self._changed.set()
            await asyncio.sleep(_DISKS_S)

    def _tell(self) -> None:
        self._changed.clear()
        self._measure()
        node = self._node
        state = own_state(
            node.config,
            node.stored,
            node.placement,
            node.health,
            self._rates,
            node.costs.known,
            node.gpus,
        )
        if state != self._told:
            self._told = state
            self._membership.tell(state)

    def _measure(self) -> None:
        """What nobody announces, once a second."""
        now_s = self._clock()
        if now_s < self._measured_s + _LOOK_S:
            return
        self._measured_s = now_s
        models = self._node.tally.models
        tallies = models.values()
        rates = self._meter.read(
            summed(tally.first_token.spread for tally in tallies),
            summed(tally.between_tokens.spread for tally in tallies),
            summed(tally.load.spread for tally in tallies).num,
        )
        steps = {
            model_id: self._speeds.step(model_id, summed([tally.between_tokens.spread]), now_s)
            for model_id, tally in models.items()
        }
        stays_s = {model_id: tally.stays.mean_s for model_id, tally in models.items()}
        self._rates = replace(
            rates,
            stay_ms=round(self._node.tally.stay_s * 1000),
            stays_ms={model_id: round(s * 1000) for model_id, s in stays_s.items() if s},
            speed_steps=steps,
        )

    def _learn(self, view: FleetView) -> None:
        self._node.history.see(view, self._clock())
        self._node.costs.see(view)


async def _done(step: Callable[[], Awaitable[object]], last: str) -> str:
    """What came in between, which is logged where the last time it was another; "" for nothing."""
    try:
        await step()
    except Exception as error:  # what lies there may be anybody's: the rest is done all the same
        if (now := repr(error)) != last:
            logger.exception("disks not looked at")
        return now
    return ""
