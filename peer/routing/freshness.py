"""How busy the others are just now: what they have said last, with what they were sent since.

Their records come by themselves and may be old; what they answer is as new as it can be.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..fleet.membership import Membership
from ..fleet.view import PeerView
from ..gossip.ids import ModelId, NodeId
from ..gossip.messages import LoadAnswer
from .candidates import Busyness, Candidate, gossiped

PROBE_S = 0.03
_MAX_SENDS = 1024


class Freshness:
    def __init__(self, membership: Membership, clock: Callable[[], float]) -> None:
        self._membership = membership
        self._clock = clock
        self._sends: dict[NodeId, deque[float]] = defaultdict(lambda: deque(maxlen=_MAX_SENDS))

    def sent(self, node: NodeId) -> None:
        self._sends[node].append(self._clock())

    def corrected(self, one: Candidate, peer: PeerView | None) -> Candidate:
        """With what it was sent since it wrote its record."""
        if one.is_self or peer is None or peer.load is None:
            return one
        seen_s = self._clock() if peer.made_s is None else peer.made_s
        written_s = seen_s - peer.load.age_ds / 10
        return replace(one, busyness=self._with_sends(one.node, one.busyness, written_s))

    async def ask(
        self, weights: ModelId, cost_tokens: int, asked: Sequence[Candidate]
    ) -> Mapping[NodeId, Busyness]:
        """What those say that answer in time. This peer knows it at once."""
        own = {one.node: one.busyness for one in asked if one.is_self}
        others = [one.node for one in asked if not one.is_self]
        asked_s = self._clock()
        answers = await self._membership.ask_loads(others, weights, cost_tokens, PROBE_S)
        return own | {
            node: self._with_sends(node, _told(answer, weights), asked_s)
            for node, answer in answers.items()
        }

    def _with_sends(self, node: NodeId, busyness: Busyness, since_s: float) -> Busyness:
        num_sent = sum(sent_s > since_s for sent_s in self._sends[node])
        return replace(busyness, num_live=busyness.num_live + num_sent)


def _told(answer: LoadAnswer, weights: ModelId) -> Busyness:
    told = gossiped(answer.load, weights)
    return replace(told, verdict=answer.verdict, wait_s=answer.wait_ms / 1000)
