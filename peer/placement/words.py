"""Why a model is loaded nowhere, as the error that its client gets. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from cortex.engine.errors import CortexError, InsufficientVram, MemoryShortage

from ..errors import NoPeer
from ..fleet.view import FleetView
from ..gossip.ids import NodeId
from .plan import LoadWish, Refusal
from .planning import Known, plan_load

_MAX_NAMED = 8


def no_place_anywhere(
    view: FleetView, model_id: str, wish: LoadWish, known: Known, last: InsufficientVram
) -> InsufficientVram:
    """For a model that no peer had room for, as each said when it was asked: why not, of all of
    them, or the `last` one's word where the view does not say so.
    """
    planned = plan_load(view, wish, known)
    names = {peer.node: peer.name for peer in view.peers}
    error = last if planned.plan else no_place(model_id, planned.refusals, names.__getitem__)
    return error if isinstance(error, InsufficientVram) else last


def no_place(
    model_id: str, refusals: Sequence[Refusal], name_of: Callable[[NodeId], str]
) -> CortexError:
    """`refusals` are of all places that were looked at; a peer that has not got the model is no
    place for it, unless there is no other.
    """
    told = [one for one in refusals if one.reason != "absent"] or list(refusals)
    lines = list(dict.fromkeys(f"{name_of(one.peer)}: {one.words}" for one in told))
    more = f"; and {len(lines) - _MAX_NAMED} more" if len(lines) > _MAX_NAMED else ""
    why = "; ".join(lines[:_MAX_NAMED]) + more
    nearest = min(
        (one for one in told if one.short_bytes), key=lambda one: one.short_bytes, default=None
    )
    if nearest is None:
        return NoPeer(f"no peer can load '{model_id}' now: {why}", "see cortex status")
    is_final = all(one.reason == "too large" for one in told)
    waits = [one.wait_s for one in told if one.wait_s is not None]
    available_bytes = max(nearest.needed_bytes - nearest.short_bytes, 0)
    return InsufficientVram(
        f"'{model_id}' has no place in this fleet: {why}"
        if is_final
        else f"'{model_id}' has no place now: {why}",
        "wish for less context, or give it a larger device" if is_final else _hint(told),
        shortage=MemoryShortage(nearest.needed_bytes, available_bytes, is_final),
        retry_after_s=math.ceil(min(waits)) if waits else None,
    )


def _hint(refusals: Sequence[Refusal]) -> str:
    """What somebody could do, where waiting alone does not help."""
    reasons = {one.reason for one in refusals}
    if reasons & {"new", "busy", "foreign"}:
        return "try again in a moment"
    return "unpin or unload what is there" if "pinned" in reasons else "unload what is there"
