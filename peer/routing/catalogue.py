"""Every model that any peer has on disk, as one list that all peers offer.

Weights are told apart by their ModelId alone. One name for two weights is two models: the name
goes to those that most peers hold, and `NAME@HEX8` names each of them. What this peer has not
named yet is offered by it alone, and only where the name is free.
"""

from __future__ import annotations

import operator
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from cortex.engine.types import Capability

from ..fleet.view import FleetView, PeerView
from ..gossip.ids import ModelId, NodeId
from ..models.catalogue import EMBEDDED_IDS, of_fleet
from ..models.folder import Unserved
from ..models.names import ModelNames
from ..placement.books import Eta
from ..types import ModelInfo, Warmth, Whereabouts

_VARIANT = re.compile(r"(?P<id>.+)@(?P<weights>[0-9a-f]{8})", re.DOTALL)
_NOTHING: Mapping[str, Unserved] = MappingProxyType({})
_SHIPPED = frozenset(EMBEDDED_IDS.values())


@dataclass(frozen=True, slots=True)
class Holder:
    """A peer that has the weights on disk, and its own id of them."""

    node: NodeId
    id: str
    context_tokens: int


@dataclass(frozen=True, slots=True)
class FleetModel:
    """`weights` is empty where nobody has named them yet: then this peer is the only holder."""

    id: str
    weights: ModelId
    size_bytes: int
    context_tokens: int
    capabilities: tuple[Capability, ...]
    created_s: int
    holders: tuple[Holder, ...]

    @property
    def sees_images(self) -> bool:
        return "vision" in self.capabilities

    def holder(self, node: NodeId) -> Holder | None:
        return next((holder for holder in self.holders if holder.node == node), None)


@dataclass(frozen=True, slots=True)
class FleetCatalogue:
    """`models` in the order in which they are listed; the first one that chats is the default.
    `variants` are all weights under each of their names, those that the bare name means first;
    `holders` are of weights that have a name; `unserved` is what this peer has and passes over.
    """

    models: tuple[FleetModel, ...]
    variants: Mapping[str, tuple[FleetModel, ...]]
    holders: Mapping[bytes, tuple[Holder, ...]]
    unserved: Mapping[str, Unserved]

    def known(self, name: str, names: ModelNames) -> FleetModel | None:
        """The model that a name means: an id, an alias, or a variant."""
        return names.meant_by(name, self.models) or self._variant(name)

    def find(self, name: str, names: ModelNames) -> FleetModel:
        """That, or the one that answers for names that mean none.

        Raises ModelNotFound, with the nearest ids as the hint.
        """
        model = self.known(name, names) or names.for_unknown(self.models)
        return model or self.named(name, names)

    def named(self, name: str, names: ModelNames) -> FleetModel:
        """The model that a name means. Raises ModelNotFound, with the nearest ids as the hint."""
        model = self.known(name, names)
        if model is None:
            listed = tuple(names.listed(tuple(map(_plain, self.models))))
            raise of_fleet(listed, self.unserved).unknown(name)
        return model

    def _variant(self, name: str) -> FleetModel | None:
        match = _VARIANT.fullmatch(name)
        if match is None:
            return None
        variants = self.variants.get(match["id"], ())
        return next((v for v in variants if v.weights[:4].hex() == match["weights"]), None)


def unite(
    own: Sequence[ModelInfo], view: FleetView, unserved: Mapping[str, Unserved] = _NOTHING
) -> FleetCatalogue:
    """What this peer has, and what the others of the fleet that are there say they have."""
    holders: dict[bytes, dict[NodeId, Holder]] = defaultdict(dict)
    under_name: dict[str, dict[bytes, list[FleetModel]]] = defaultdict(lambda: defaultdict(list))
    for offer in _offers(own, view):
        for holder in offer.holders:
            holders[_key(offer)].setdefault(holder.node, holder)
        under_name[offer.id][_key(offer)].append(offer)
    held_by = {key: tuple(by_node.values()) for key, by_node in holders.items()}
    variants = {
        name: tuple(
            _merged(offers, held_by[key]) for key, offers in sorted(by_weights.items(), key=_rank)
        )
        for name, by_weights in under_name.items()
    }
    listed = [model for name in variants for model in _listed(variants[name])]
    in_order = sorted(listed, key=_place_in({m.id for m in own}))
    return FleetCatalogue(tuple(in_order), variants, held_by, unserved)


class Uniter:
    """`unite`, which is done again only where a disk has changed, or a peer has come or gone: views
    change with all that peers do.
    """

    def __init__(self) -> None:
        self._newest: tuple[list[object], FleetCatalogue] | None = None

    def unite(
        self, own: Sequence[ModelInfo], view: FleetView, unserved: Mapping[str, Unserved]
    ) -> FleetCatalogue:
        parts: list[object] = [own, unserved, view.self_node]
        for peer in _others_here(view):
            parts += peer.node, peer.stored
        if self._newest is None or not _are_same(self._newest[0], parts):
            self._newest = parts, unite(own, view, unserved)
        return self._newest[1]


def _are_same(before: Sequence[object], after: Sequence[object]) -> bool:
    return len(before) == len(after) and all(map(operator.is_, before, after))


def whereabouts(model: FleetModel, view: FleetView, eta_s: Eta) -> Iterator[Whereabouts]:
    whole_s = eta_s(model.weights, model.size_bytes)
    for holder in model.holders:
        peer = view.peer(holder.node)
        if peer is not None:
            warmth = warmth_at(peer, model.weights)
            is_pinned = any(one.is_pinned for one in peer.placed if one.model == model.weights)
            yield Whereabouts(peer.name, warmth, None if warmth == "warm" else whole_s, is_pinned)


def warmth_at(peer: PeerView, weights: ModelId) -> Warmth:
    states = {placed.state for placed in peer.placed if placed.model == weights}
    if "ready" in states:
        return "warm"
    return "loading" if "loading" in states else "cold"


def to_info(model: FleetModel, view: FleetView, eta_s: Eta) -> ModelInfo:
    """As the API lists it."""
    return replace(_plain(model), where=tuple(whereabouts(model, view, eta_s)))


def _plain(model: FleetModel) -> ModelInfo:
    return ModelInfo(
        id=model.id,
        dir=None,
        capabilities=model.capabilities,
        context_length=model.context_tokens,
        created_s=model.created_s,
        weights=model.weights,
        size_bytes=model.size_bytes,
    )


def _offers(own: Iterable[ModelInfo], view: FleetView) -> Iterator[FleetModel]:
    """What this peer has, and then what others say they have."""
    for one in own:
        holder = Holder(view.self_node, one.id, one.context_length)
        about = one.size_bytes, one.context_length, one.capabilities, one.created_s
        yield FleetModel(one.id, ModelId(one.weights), *about, (holder,))
    for peer in _others_here(view):
        for each in peer.stored:
            holder = Holder(peer.node, each.id, each.context_tokens)
            about = each.size_bytes, each.context_tokens, each.capabilities, each.created_s
            yield FleetModel(each.id, each.model, *about, (holder,))


def _others_here(view: FleetView) -> Iterator[PeerView]:
    return (peer for peer in view.peers if not (peer.is_self or peer.is_gone))


def _key(offer: FleetModel) -> bytes:
    """Weights without a name are nobody else's: not even those of another id."""
    return offer.weights or b"unnamed " + offer.id.encode()


def _rank(entry: tuple[bytes, Sequence[FleetModel]]) -> tuple[bool, int, bytes]:
    key, offers = entry
    nodes = {holder.node for offer in offers for holder in offer.holders}
    return not offers[0].weights, -len(nodes), key


def _merged(offers: Sequence[FleetModel], holders: tuple[Holder, ...]) -> FleetModel:
    """One set of weights under one name: as much context as somebody serves."""
    context_tokens = max(holder.context_tokens for holder in holders)
    return replace(offers[0], context_tokens=context_tokens, holders=holders)


def _listed(variants: Sequence[FleetModel]) -> Iterator[FleetModel]:
    yield variants[0]
    for other in variants[1:]:
        if other.weights:
            yield replace(other, id=f"{other.id}@{other.weights[:4].hex()}")


def _place_in(own_ids: set[str]) -> Callable[[FleetModel], tuple[bool, bool, int]]:
    """Own models as they were found, then the others', the largest first; what is shipped with the
    program answers by default only where nothing else is there. Sorting keeps what is equal.
    """

    def place(model: FleetModel) -> tuple[bool, bool, int]:
        is_own = model.id in own_ids
        return model.id in _SHIPPED, not is_own, 0 if is_own else -model.size_bytes

    return place
