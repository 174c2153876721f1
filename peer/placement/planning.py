"""Where in the fleet a model is best loaded, and why not elsewhere. Pure.

Of all places the one where it is there soonest: the load itself, what its victims' going costs on
average, and the work that is there already. A cold model's prefixes went with it, and count for
nothing. Over the view this is advice: the peer that is chosen decides again, by its own books.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from cortex.engine.costs import MemoryPart, ModelCosts
from cortex.engine.memory import MAX_SEQUENCES

from ..config import PeerConfig
from ..fleet.view import FleetView, PeerView, PlacedModel, StoredModel
from ..gossip.ids import ModelId, NodeId
from .books import DeviceBooks, EtaAt, Need, Rules, Size
from .fit import NoFit, fit
from .plan import LoadWish, Plan, Planned, Reason, Refusal, planned
from .seen_books import seen_books
from .sizes import comfort_tokens, parts, sizes

# The sizes in which a model of these costs may be loaded, for a wish, where it is served with so
# much context at most, on a device of so many bytes.
SizesOf = Callable[[ModelCosts, LoadWish, int, int], tuple[Size, ...]]
PartsOf = Callable[[ModelCosts, Size], tuple[MemoryPart, ...]]

# A request that is under way takes time from a load, about as much as its first token takes.
_USUAL_FIRST_TOKEN_S = 1.0
# What changes by itself comes first.
_REASONS: tuple[Reason, ...] = (
    "new",
    "busy",
    "foreign",
    "class",
    "pinned",
    "too large",
    "broken",
    "absent",
    "away",
)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beside the view. `rules`, and the `priority` of a model by its id, are this
    peer's, and believed to be the others' until they say so themselves.
    """

    sizes: SizesOf
    parts: PartsOf
    eta_s: EtaAt = lambda node, model, size_bytes: None
    rules: Rules = field(default_factory=Rules)
    priority: Callable[[str], int] = lambda id: 0


def plan_load(
    view: FleetView,
    wish: LoadWish,
    known: Known,
    told: Mapping[NodeId, Planned] = MappingProxyType({}),
) -> Planned:
    """The best place of the fleet for a load, or of the one peer that is wished for; `told` is what
    peers say of themselves, by their own books. Of others it is what is believed.
    """
    found: list[Plan | Refusal] = []
    for peer in view.peers:
        if wish.peer is None and peer.is_gone:
            continue
        if wish.peer in (None, peer.node):
            found += outcomes(view, peer, wish, known, told.get(peer.node))
    found.sort(key=lambda one: preference(view, wish.model, one))
    return planned(found)


def outcomes(
    view: FleetView, peer: PeerView, wish: LoadWish, known: Known, told: Planned | None = None
) -> Sequence[Plan | Refusal]:
    """What a load would do on each device of a peer."""
    if not peer.takes_requests:
        words = "it is draining" if peer.state == "draining" else f"it is {peer.state}"
        return (Refusal(peer.node, None, "away", words),)
    if told is not None:
        return (*([told.plan] if told.plan else []), *told.others, *told.refusals)
    stored = next((each for each in peer.stored if each.model == wish.model), None)
    placed = next((each for each in peer.placed if each.model == wish.model), None)
    if placed is not None and placed.state != "unloading":
        return (_there(peer, placed, wish, known),)
    if stored is None:
        return (Refusal(peer.node, None, "absent", "the model is not on its disk"),)
    devices = seen_books(peer, known.rules, partial(known.eta_s, peer.node))
    found = [_on_device(view, peer, stored, books, wish, known) for books in devices]
    return found or (Refusal(peer.node, None, "unknown", "it has not told what memory it has"),)


def preference(view: FleetView, model: ModelId, outcome: Plan | Refusal) -> tuple[object, ...]:
    """The lower the better. Whole seconds and room in few steps: what is believed of others changes
    all the time, and two views of it should give the same order. What is not known is no reason
    against a peer.
    """
    # As 8 bytes sort from the lowest, the highest weight is told by what it lacks.
    tail = bytes(255 - byte for byte in rendezvous(model, outcome.peer)), outcome.device or 0
    peer = view.peer(outcome.peer)
    assert peer is not None, "what is planned is planned for the view's peers"
    if isinstance(outcome, Refusal) and outcome.reason != "unknown":
        reason = _REASONS.index(outcome.reason)
        return 1, peer.state != "up", reason, outcome.wait_s or 0.0, tail
    is_there, is_tight, seconds, room = False, False, _work_s(peer), 1
    if isinstance(outcome, Plan):
        is_there, room = outcome.is_there, _room_class(outcome)
        is_tight = outcome.is_tight
        # One that is too small may have to be loaded once more.
        seconds = (outcome.seconds or 0.0) * (1 + is_tight)
    has_work = _num_requests(peer) > 0
    return 0, not is_there, peer.state != "up", round(seconds), is_tight, has_work, -room, tail


def rendezvous(model: ModelId, node: NodeId) -> bytes:
    """How much a model belongs to a peer; the highest wins (highest random weight)."""
    return hashlib.blake2b(model + node, digest_size=8).digest()


def _there(peer: PeerView, placed: PlacedModel, wish: LoadWish, known: Known) -> Plan | Refusal:
    """Where it is, or is on its way, nothing has to be done, if it is as it is wished for."""
    too_short = (wish.context_tokens or 0) > placed.context_tokens
    too_few = min(wish.num_slots or 0, MAX_SEQUENCES) > placed.num_slots
    if placed.state == "ready" and (too_short or too_few):
        words = (
            f"it is there with {placed.context_tokens:,} tokens of context"
            f" and {placed.num_slots} slots: unload it first"
        )
        return Refusal(peer.node, placed.device, "busy", words)
    is_ready = placed.state == "ready"
    whole_s = 0.0 if is_ready else known.eta_s(peer.node, placed.model, placed.size_bytes)
    return Plan(
        peer.node,
        placed.device,
        placed.model,
        Size(placed.context_tokens, placed.num_slots, placed.reserved_bytes),
        seconds=None if whole_s is None else whole_s * (1 - (placed.percent or 0) / 100),
        is_there=True,
    )


def _on_device(
    view: FleetView,
    peer: PeerView,
    stored: StoredModel,
    books: DeviceBooks,
    wish: LoadWish,
    known: Known,
) -> Plan | Refusal:
    costs = stored.costs or _costs_elsewhere(view, stored.model)
    if costs is None:
        # It takes more than its files, but nobody has found out how much.
        sizes = (Size(wish.context_tokens or 0, wish.num_slots or 1, stored.size_bytes),)
    else:
        sizes = known.sizes(costs, wish, stored.context_tokens, books.budget_bytes)
    need = Need(
        stored.model, stored.id, sizes, known.priority(stored.id),
        comfort_tokens=comfort_tokens(sizes),
    )  # fmt: skip
    found = fit(books, need, known.rules)
    if isinstance(found, NoFit):
        return refusal(peer.node, books, need, found)
    load_s = known.eta_s(peer.node, stored.model, stored.size_bytes)
    return Plan(
        peer.node,
        books.index,
        stored.model,
        found.size,
        _parts_at_least(stored) if costs is None else known.parts(costs, found.size),
        found.victims,
        None if load_s is None else load_s + found.cost_s + _work_s(peer),
        free_bytes=books.free_bytes,
        is_tight=found.is_tight,
    )


def refusal(peer: NodeId, books: DeviceBooks, need: Need, why: NoFit) -> Refusal:
    needed_bytes = need.sizes[-1].num_bytes
    return Refusal(
        peer, books.index, why.reason, why.words, why.short_bytes, needed_bytes, why.wait_s
    )


def _parts_at_least(stored: StoredModel) -> tuple[MemoryPart, ...]:
    note = "its files; what else it takes is not known yet"
    return (MemoryPart("weights", stored.size_bytes, note),)


def _costs_elsewhere(view: FleetView, model: ModelId) -> ModelCosts | None:
    """What the same weights take at another peer: much the same."""
    stored = (each for peer in view.peers for each in peer.stored if each.model == model)
    return next((each.costs for each in stored if each.costs is not None), None)


def _work_s(peer: PeerView) -> float:
    first_token_ms = peer.load.first_token_ms if peer.load else 0
    return _num_requests(peer) * (first_token_ms / 1000 or _USUAL_FIRST_TOKEN_S)


def _num_requests(peer: PeerView) -> int:
    return 0 if peer.load is None else peer.load.num_inflight + peer.load.num_queued


def _room_class(plan: Plan) -> int:
    """How often it would fit beside what is there."""
    return min((max(plan.free_bytes, 0) // max(plan.size.num_bytes, 1)).bit_length(), 3)


def ranked(
    view: FleetView, model: ModelId, candidates: Collection[NodeId], known: Known
) -> tuple[NodeId, ...]:
    """The candidates, the best one to load the model first. None is left out: what is believed of
    a peer may be wrong, and it decides for itself.
    """
    wish = LoadWish(model)

    def rank(node: NodeId) -> tuple[object, ...]:
        peer = view.peer(node)
        if peer is None:
            return True, node
        return False, min(preference(view, model, one) for one in outcomes(view, peer, wish, known))

    return tuple(sorted(candidates, key=rank))


def soonest_s(
    view: FleetView, model: ModelId, candidates: Collection[NodeId], known: Known
) -> float | None:
    """When the first of them would have loaded the model; None where nothing is known of that."""
    wish = LoadWish(model)
    peers = [peer for node in candidates if (peer := view.peer(node)) is not None]
    found = [one for peer in peers for one in outcomes(view, peer, wish, known)]
    seconds = (one.seconds for one in found if isinstance(one, Plan))
    return min((one for one in seconds if one is not None), default=None)


def known_by(config: PeerConfig, eta_s: EtaAt) -> Known:
    """What a peer knows, as its settings are now."""
    return Known(_sizes, parts, eta_s, config.eviction, lambda id: config.model(id).priority)


def _sizes(
    costs: ModelCosts, wish: LoadWish, context_tokens: int, budget_bytes: int
) -> tuple[Size, ...]:
    return sizes(
        costs,
        context_limit_tokens=context_tokens,
        wanted_context=wish.context_tokens,
        wanted_slots=wish.num_slots,
        device_budget_bytes=budget_bytes,
    )
