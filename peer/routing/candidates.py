"""Who could answer a request, and who of them should. Pure: what is known comes in as values.

Who is asked about its load first, and how its answer is weighed, is decided here; the asking is
`choosing.py`'s.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..fleet.view import FleetView, PeerView
from ..gossip.ids import ModelId, NodeId
from ..gossip.messages import Verdict
from ..gossip.records import LoadRecord
from ..placement.context_room import ContextRoom
from ..types import Warmth
from .affinity import ranked
from .catalogue import FleetModel, Holder, warmth_at

# Of the others than the first choice so many are drawn, and the best of them asked.
_NUM_DRAWN = 4
_NUM_ASKED_OF_THEM = 2
# A conversation stays with its peer until that is so much busier than the best.
_LOYALTY = 0.25
_ORDER: dict[Verdict, int] = {"accept": 0, "queue": 1, "busy": 2}
_WARMTH_ORDER: tuple[Warmth, ...] = ("warm", "loading", "cold")

# A peer from its start to its end: one that comes back is another one.
Life = tuple[NodeId, int]


@dataclass(frozen=True, slots=True)
class Busyness:
    """`num_live` counts what waits too; 0 slots is a peer that has not said how many it has.
    `wait_s` is how long one more request would wait, None where nobody says.
    """

    verdict: Verdict
    num_live: int
    num_slots: int = 0
    wait_s: float | None = None

    @property
    def share(self) -> float:
        """How full it is; more than 1 where some wait."""
        return self.num_live / max(1, self.num_slots)

    @property
    def rank(self) -> tuple[int, float]:
        return _ORDER[self.verdict], self.share


@dataclass(frozen=True, slots=True)
class Candidate:
    """A peer that holds the weights. `is_doubtful` is one to be asked where nobody else is left.

    `place_tokens` is how much context it has loaded the model with, 0 where it has not, or where
    nobody says. A model that is there with too little for the request is cold to it: it would have
    to be loaded again. With all that the holder serves it is never too small.
    """

    holder: Holder
    life: Life
    name: str
    is_self: bool
    warmth: Warmth
    computes_in: str
    is_doubtful: bool
    busyness: Busyness
    speed_step: int
    place_tokens: int = 0
    build: str = ""

    @property
    def node(self) -> NodeId:
        return self.holder.node


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request wants of its host, and which lives are not to be asked.

    The `lost` may still be there, though the connection to them broke: they come last. Somebody
    who goes on with an answer has to have `least_tokens` of context, should have `context_tokens`,
    and may compute in no other way; of another `build` than the one that began it may do so all the
    same, and goes after those of that one. What is loaded with less than the `room` goes after what
    has it. Where all are busy it waits for `patience_s`, and for `hope_s` where nobody is there.
    """

    key: bytes
    context_tokens: int = 0
    least_tokens: int = 0
    room: ContextRoom = field(default_factory=ContextRoom)
    computes_in: str = ""
    build: str = ""
    excluded: frozenset[Life] = frozenset()
    lost: frozenset[Life] = frozenset()
    busy_until_s: Mapping[Life, float] = field(default_factory=dict[Life, float])
    patience_s: float = 5.0
    hope_s: float = 0.0

    def is_resting(self, life: Life, now_s: float) -> bool:
        """Whether that one has just refused it, and is not asked again at once."""
        return self.busy_until_s.get(life, 0.0) > now_s


def candidates(
    model: FleetModel, view: FleetView, wish: Wish, own: Busyness, doubted: frozenset[Life]
) -> list[Candidate]:
    """All that may be asked: sound ones, or where there are none, the doubtful ones. Who has less
    context than all that an answer may come to is asked where nobody else is there.
    """
    found = [
        candidate_at(model.weights, holder, peer, own, doubted | wish.lost, wish.room)
        for holder in model.holders
        if (peer := view.peer(holder.node)) is not None
        and peer.takes_requests
        and holder.context_tokens >= wish.least_tokens
    ]
    found = [one for one in found if may_be_asked(one, wish)]
    whole = [one for one in found if one.holder.context_tokens >= wish.context_tokens]
    return _soundest(whole, wish) or _soundest(found, wish) or whole or found


def _soundest(found: Sequence[Candidate], wish: Wish) -> list[Candidate]:
    sound = [one for one in found if not one.is_doubtful]
    return sound or [one for one in found if one.life not in wish.lost]


def may_be_asked(candidate: Candidate, wish: Wish) -> bool:
    """How a peer computes that has yet to load the model nobody knows: it says so itself."""
    computes_alike = candidate.computes_in in ("", wish.computes_in) or not wish.computes_in
    return computes_alike and candidate.life not in wish.excluded


def candidate_at(
    weights: ModelId,
    holder: Holder,
    peer: PeerView,
    own: Busyness,
    doubted: frozenset[Life],
    room: ContextRoom,
) -> Candidate:
    placed = next((placed for placed in peer.placed if placed.model == weights), None)
    place_tokens = placed.context_tokens if placed and placed.state == "ready" else 0
    told = peer.load.of(weights) if peer.load else None
    life = (peer.node, peer.gen)
    is_small = 0 < place_tokens < min(room.least_tokens, holder.context_tokens)
    return Candidate(
        holder=holder,
        life=life,
        name=peer.name,
        is_self=peer.is_self,
        warmth="cold" if is_small else warmth_at(peer, weights),
        computes_in=placed.computes_in if placed else "",
        is_doubtful=peer.state != "up" or life in doubted,
        busyness=own if peer.is_self else gossiped(peer.load, weights),
        speed_step=told.speed_step if told else 0,
        place_tokens=place_tokens,
        build=peer.build,
    )


def gossiped(load: LoadRecord | None, weights: ModelId) -> Busyness:
    """What a load record says of a peer; one that has said nothing is idle until it does."""
    if load is None:
        return Busyness("accept", 0)
    num_live = load.num_inflight + load.num_queued
    free = [one.num_slots_free for one in load.models if one.model == weights]
    num_free = max(free, default=max((one.num_slots_free for one in load.models), default=0))
    has_room = num_free > 0 or num_live == 0
    return Busyness("accept" if has_room else "queue", num_live, num_live + num_free)


def own_busyness(
    load: LoadRecord | None, weights: ModelId, num_live: int, most_live: int
) -> Busyness:
    """This peer's: what it told last, and what has come since or gone."""
    told = gossiped(load, weights)
    if num_live >= most_live:
        return Busyness("busy", num_live, told.num_slots or most_live)
    if load is None:
        return Busyness("accept", num_live, most_live)
    num_free = told.num_slots - told.num_live - max(0, num_live - told.num_live)
    waits = num_live > 0 and (num_free <= 0 or load.has_waiting(weights))
    return Busyness("queue" if waits else "accept", num_live, told.num_slots or most_live)


def by_room_and_build(wish: Wish, found: Sequence[Candidate]) -> list[Sequence[Candidate]]:
    """Those with room for all of the request, where some have it, and then all; of either those
    first who are of the build that began with it.
    """
    most_tokens = max((one.holder.context_tokens for one in found), default=0)
    whole_tokens = min(wish.room.whole_tokens, most_tokens)
    roomy = [one for one in found if not 0 < one.place_tokens < whole_tokens]
    groups = [roomy, found] if 0 < len(roomy) < len(found) else [found]
    return [part for group in groups for part in (*_alike(wish, group), group)]


def _alike(wish: Wish, group: Sequence[Candidate]) -> list[Sequence[Candidate]]:
    alike = [one for one in group if one.build == wish.build]
    return [alike] if wish.build and 0 < len(alike) < len(group) else []


def in_order(wish: Wish, found: Sequence[Candidate]) -> list[Candidate]:
    """The conversation's own first."""
    by_node = {one.node: one for one in found}
    order = ranked(wish.key, [(one.node, one.speed_step) for one in found])
    return [by_node[node] for node in order]


def shortlist(order: Sequence[Candidate], rng: random.Random) -> list[Candidate]:
    """The conversation's own, and the best of some others by what gossip says of them."""
    drawn = rng.sample(order[1:], min(_NUM_DRAWN, len(order) - 1))
    drawn.sort(key=lambda one: one.busyness.rank)
    return [order[0], *drawn[:_NUM_ASKED_OF_THEM]]


def pick(
    asked: Sequence[Candidate], answers: Mapping[NodeId, Busyness]
) -> tuple[Candidate, Busyness]:
    """By fresh answers; of those that gave none only where nobody did."""
    heard = [(one, answers[one.node]) for one in asked if one.node in answers]
    # Two of many by gossip: the best of all by gossip would be everybody's choice at once.
    weighed = heard or [(one, one.busyness) for one in asked[:2]]
    first, best = weighed[0], min(weighed, key=lambda pair: pair[1].rank)
    is_own = first[0] is asked[0]
    return first if is_own and _is_good_enough(first[1], best[1]) else best


def _is_good_enough(own: Busyness, best: Busyness) -> bool:
    if own.verdict == "accept":
        return True
    return own.verdict == best.verdict and own.share <= best.share + _LOYALTY


def warmest(found: Iterable[Candidate]) -> tuple[Warmth, list[Candidate]]:
    """Those that have the model, else those that are getting it, else all."""
    everybody = list(found)
    for warmth in _WARMTH_ORDER:
        those = [one for one in everybody if one.warmth == warmth]
        if those:
            return warmth, those
    return "cold", []
