"""How busy the others are just now: what they have said last, with what they were sent since.

Their records come by themselves and may be old. An answer of theirs serves all who ask for the same
model within a moment: a peer takes so many datagrams and no more, and a call for thousands of
vectors would drown what it has to hear of the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..fleet.membership import Membership
from ..fleet.view import PeerView
from ..gossip.ids import ModelId, NodeId
from ..gossip.messages import LoadAnswer
from .candidates import Busyness, Candidate, gossiped

PROBE_S = 0.03
_SHARED_S = 0.05
_MAX_SENDS = 1024


@dataclass(frozen=True, slots=True)
class _Question:
    """To several at once; it ends by itself, whoever waits for it."""

    asked_s: float
    answers: asyncio.Future[Mapping[NodeId, LoadAnswer]]


class Freshness:
    def __init__(self, membership: Membership, clock: Callable[[], float]) -> None:
        self._membership = membership
        self._clock = clock
        self._asked: dict[tuple[NodeId, ModelId], _Question] = {}
        self._sends: dict[NodeId, deque[float]] = {}

    def sent(self, node: NodeId) -> None:
        """What was sent to peers that are no longer seen is forgotten when another is sent to."""
        if node not in self._sends:
            view = self._membership.view
            self._sends = {each: sends for each, sends in self._sends.items() if view.peer(each)}
            self._sends[node] = deque(maxlen=_MAX_SENDS)
        self._sends[node].append(self._clock())

    def corrected(self, one: Candidate, peer: PeerView | None) -> Candidate:
        """With what it was sent since it wrote its record."""
        if one.is_self or peer is None or peer.load is None:
            return one
        seen_s = self._clock() if peer.made_s is None else peer.made_s
        written_s = seen_s - peer.load.age_ds / 10
        return replace(one, busyness=self._with_sends(one.node, one.busyness, written_s))

    async def ask(
        self,
        weights: ModelId,
        asked: Sequence[Candidate],
        *,
        asks_itself: bool = False,
    ) -> Mapping[NodeId, Busyness]:
        """What those say that answer in time. This peer knows it at once, but for how long one
        waits here: that it has to ask, too.
        """
        nodes = [one.node for one in asked if asks_itself or not one.is_self]
        questions = self._questions(nodes, weights)
        if questions:
            await asyncio.wait({question.answers for question in questions.values()})
        heard = {
            node: self._with_sends(node, _told(answer, weights), question.asked_s)
            for node, question in questions.items()
            if (answer := question.answers.result().get(node)) is not None
        }
        own = {
            one.node: replace(one.busyness, wait_s=heard.get(one.node, one.busyness).wait_s)
            for one in asked
            if one.is_self
        }
        return heard | own

    def _questions(self, nodes: Sequence[NodeId], weights: ModelId) -> Mapping[NodeId, _Question]:
        """What each has been asked just now, or is asked with this."""
        now_s = self._clock()
        self._asked = {
            key: question
            for key, question in self._asked.items()
            if now_s - question.asked_s < _SHARED_S or not question.answers.done()
        }
        missing = [node for node in nodes if (node, weights) not in self._asked]
        if missing:
            asking = self._membership.ask_loads(missing, weights, PROBE_S)
            question = _Question(now_s, asyncio.ensure_future(asking))
            self._asked |= {(node, weights): question for node in missing}
        return {node: self._asked[node, weights] for node in nodes}

    def _with_sends(self, node: NodeId, busyness: Busyness, since_s: float) -> Busyness:
        num_sent = sum(sent_s > since_s for sent_s in self._sends.get(node, ()))
        num_live = busyness.num_live + num_sent
        if num_sent and busyness.verdict == "accept" and 0 < busyness.num_slots <= num_live:
            # How long one waits there it says itself in a moment: no reason yet for a copy.
            return replace(busyness, verdict="queue", num_live=num_live, wait_s=0.0)
        return replace(busyness, num_live=num_live)


def _told(answer: LoadAnswer, weights: ModelId) -> Busyness:
    """One that says no wait knows of none, as where no answer has ended yet."""
    told = gossiped(answer.load, weights)
    wait_s = answer.wait_ms / 1000 if answer.wait_ms else None
    return replace(told, verdict=answer.verdict, wait_s=wait_s)
