"""What peers say that a load would do there, each by its own books, asked of all that could.

Who does not say, because it is older or does not answer, is planned for by what is believed of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from cortex.engine.errors import CortexError, InvalidRequest

from ..errors import HostLost
from ..fleet.view import PeerView
from ..gossip.ids import NodeId
from ..placement.plan import LoadWish, Planned, Refusal
from .values import PlanOrder, PlanReport, Report

# How a peer answers an order that it is given, at last; raises what it refuses with.
Ask = Callable[[PeerView, PlanOrder], Awaitable[Report]]

# An engine may have to start first, which then reads the headers of the model's files.
_PLAN_S = 20.0
_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Planned] = msgspec.msgpack.Decoder(Planned)


def plan_report(planned: Planned) -> PlanReport:
    return PlanReport(_ENCODER.encode(planned))


async def told_plans(peers: Sequence[PeerView], wish: LoadWish, ask: Ask) -> dict[NodeId, Planned]:
    """What each of them says that says anything. One whose copy of the model is broken refuses."""
    order = PlanOrder(wish.model, wish.context_tokens, wish.num_slots)
    answers = await asyncio.gather(*(_told(peer, order, ask) for peer in peers))
    return {
        peer.node: answer.at(peer.node)
        for peer, answer in zip(peers, answers, strict=True)
        if answer is not None
    }


def first_with_plan(peers: Sequence[PeerView], told: Mapping[NodeId, Planned]) -> PeerView:
    """Where a load ends that each of them is asked for in turn; the first where none has a place.

    Of one that says nothing a place is hoped for.
    """
    hopeful = (peer for peer in peers if (said := told.get(peer.node)) is None or said.plan)
    return next(hopeful, peers[0])


async def _told(peer: PeerView, order: PlanOrder, ask: Ask) -> Planned | None:
    try:
        async with asyncio.timeout(_PLAN_S):
            report = await ask(peer, order)
        return _DECODER.decode(report.planned) if isinstance(report, PlanReport) else None
    except (HostLost, InvalidRequest, TimeoutError, msgspec.MsgspecError, RecursionError):
        return None
    except CortexError as error:
        return Planned(None, (Refusal(peer.node, None, "broken", error.message),))
