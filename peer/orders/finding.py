"""Which peer and which model somebody means who gives an order. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from cortex.engine.errors import InvalidRequest, ModelNotFound

from ..errors import PeerNotFound
from ..fleet.view import FleetView, PeerView
from ..placement.planning import Known, ranked
from ..routing.catalogue import FleetModel, Holder

_MAX_SHOWN_CHARS = 80
_MAX_TRIED = 8


def peer_named(view: FleetView, word: str) -> PeerView:
    """By its name, or its node in hex. Raises PeerNotFound for nobody, and for who is gone."""
    found = next((peer for peer in view.peers if word in (peer.name, peer.node.hex())), None)
    if found is None:
        names = [peer.name for peer in view.peers if not peer.is_gone]
        near = difflib.get_close_matches(word, names, n=1)
        there = f"there is: {', '.join(names[:8])}{' …' if len(names) > 8 else ''}"
        raise PeerNotFound(
            f"no peer '{word[:_MAX_SHOWN_CHARS]}' is in this fleet",
            f"did you mean {near[0]}?" if near else there,
            param="peer",
        )
    if found.is_gone:
        gone = "is gone" if found.state == "dead" else "has left"
        raise PeerNotFound(f"peer '{found.name}' {gone}", "start it again there: cortex peer")
    return found


def peers_to_load(
    view: FleetView, model: FleetModel, peer: PeerView | None, known: Known
) -> tuple[PeerView, ...]:
    """The peer that was named, else this one first and then those where the model is best loaded;
    who has no copy of it on disk cannot load it.

    Raises ModelNotFound.
    """
    if peer is not None:
        holder_at(view, model, peer)
        return (peer,)
    able = {one.node: one for one in able_to_load(view, model)}
    if not able:
        raise _nobody_loads(model, _holders(view, model))
    order = ranked(view, model.weights, able, known)
    first = [node for node in order if node == view.self_node]
    return tuple(able[node] for node in dict.fromkeys((*first, *order)))[:_MAX_TRIED]


def able_to_load(
    view: FleetView, model: FleetModel, peer: PeerView | None = None
) -> tuple[PeerView, ...]:
    """Those that have the model on disk and take requests: of all, or of the one peer."""
    return tuple(
        one
        for one in view.peers
        if peer in (None, one) and one.takes_requests and model.holder(one.node) is not None
    )


def peer_to_steer(view: FleetView, model: FleetModel, peer: PeerView | None) -> PeerView:
    """The peer that was named, else the one that has the model in an engine; where nobody has, this
    one or another that has it on disk.

    Raises ModelNotFound, or InvalidRequest where several others have it.
    """
    if peer is not None:
        return peer
    placed = [one for one in view.peers if not one.is_gone and _has(one, model)]
    if not placed and not (placed := _holders(view, model)[:1]):
        raise _nobody_loads(model, ())
    if len(placed) == 1 or placed[0].is_self:
        return placed[0]
    names = " and ".join(one.name for one in placed)
    raise InvalidRequest(
        f"'{model.id}' is in the engines of {names}",
        f'say which one: "peer": "{placed[0].name}"',
        param="peer",
    )


def holder_at(view: FleetView, model: FleetModel, peer: PeerView) -> Holder:
    """Raises ModelNotFound where that peer has no copy of the model."""
    holder = model.holder(peer.node)
    if holder is not None:
        return holder
    names = [one.name for one in view.peers if model.holder(one.node) is not None]
    raise ModelNotFound(
        f"'{model.id}' is not on the disk of {peer.name}",
        f"it is on {', '.join(names[:8])}" if names else "copy it there",
        param="model",
    )


def own_id(view: FleetView, model: FleetModel, peer: PeerView) -> str:
    """What the peer itself calls the model that it has in an engine, or on its disk.

    Raises ModelNotFound.
    """
    placed = next((one.id for one in peer.placed if one.model == model.weights), None)
    return placed or holder_at(view, model, peer).id


def _holders(view: FleetView, model: FleetModel) -> list[PeerView]:
    return [one for one in view.peers if not one.is_gone and model.holder(one.node) is not None]


def _nobody_loads(model: FleetModel, holders: Sequence[PeerView]) -> ModelNotFound:
    message, hint = f"no peer that is here has '{model.id}' on its disk", "GET /models lists all"
    if holders:
        names = ", ".join(one.name for one in holders[:8])
        message = f"all that have '{model.id}' on disk take nothing new: {names}"
        hint = f"have one take requests again: cortex undrain {holders[0].name}"
    return ModelNotFound(message, hint, param="model")


def _has(peer: PeerView, model: FleetModel) -> bool:
    return any(placed.model == model.weights for placed in peer.placed)
