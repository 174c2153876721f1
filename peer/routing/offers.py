"""Which models the fleet offers now, which of them a name means, and why a name means none.

A name that nobody here knows is an unknown model only where all who are in the fleet have told what
they have: before that, and while the peer that had it is gone, it may be there in a moment.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from cortex.engine.errors import CortexError, ModelNotFound
from cortex.engine.types import ChatRequest

from ..errors import ModelAway
from ..fleet.membership import Membership
from ..fleet.view import FleetView, PeerView
from ..models.abilities import check_able
from ..models.names import ModelNames
from ..node import Node
from ..types import ModelInfo
from .catalogue import Eta, FleetCatalogue, FleetModel, Uniter, to_info, unite

# A peer that has been silent for longer is not waited for.
_GONE_S = 600.0


class Offers:
    """`eta_s` is how long loads take."""

    def __init__(
        self, local: Node, membership: Membership, eta_s: Eta, clock: Callable[[], float]
    ) -> None:
        self._local = local
        self._membership = membership
        self._eta_s = eta_s
        self._clock = clock
        self._uniter = Uniter()

    @property
    def _names(self) -> ModelNames:
        return self._local.config.names

    async def models(self) -> tuple[ModelInfo, ...]:
        """What the fleet can serve now; aliases stand behind the models."""
        await self._local.models()
        view = self._membership.view
        models = [to_info(model, view, self._eta_s) for model in self.catalogue().models]
        return tuple(self._names.listed(models))

    async def model(self, name: str) -> ModelInfo:
        """One of `models`, or a variant by its full name. Raises ModelNotFound, or ModelAway."""
        await self._local.models()
        try:
            model = self.catalogue().named(name, self._names)
        except ModelNotFound as error:
            raise self._why_not(name, error) from None
        return dataclasses.replace(to_info(model, self._membership.view, self._eta_s), id=name)

    async def find(self, name: str) -> FleetModel:
        """The model that a name means. Raises ModelNotFound, or ModelAway."""
        names = self._names  # the same before and after the wait
        model = self.catalogue().known(name, names)
        if model is not None:
            return model
        await self._local.models()  # it may have been put there since
        try:
            return self.catalogue().find(name, names)
        except ModelNotFound as error:
            raise self._why_not(name, error) from None

    def catalogue(self) -> FleetCatalogue:
        """All that the fleet has, as far as it has been looked at."""
        own, unserved = self._local.stored, self._local.shelf.catalogue.unserved
        return self._uniter.unite(own, self._membership.view, unserved)

    def held_now(self, model: FleetModel) -> FleetModel:
        """The same model, with those who hold it now; where nobody does, as it was."""
        holders = self.catalogue().holders.get(model.weights, model.holders)
        return dataclasses.replace(model, holders=holders)

    def suggestion(self) -> str | None:
        """The id of a model that sees pictures."""
        models = self.catalogue().models
        return next((model.id for model in models if model.sees_images), None)

    def check_able(self, model: FleetModel, request: ChatRequest) -> None:
        """Raises ModelNotSupported for text of a model that writes none, and VisionUnsupported for
        a picture that it does not see.
        """
        check_able(model.id, model.capabilities, request, self.suggestion())

    def _why_not(self, name: str, unknown: ModelNotFound) -> CortexError:
        view = self._membership.view
        gone = {peer.node: peer for peer in view.peers if self._is_gone_of_late(peer)}
        # What would be offered if they were still here.
        shown = tuple(dataclasses.replace(peer, state="up") for peer in gone.values())
        had = unite((), dataclasses.replace(view, peers=shown)).known(name, self._names)
        if had is not None:
            return _gone(had.id, (gone[holder.node] for holder in had.holders), self._silent_s)
        return _unheard(name, view, knows_some=bool(self.catalogue().models)) or unknown

    def _is_gone_of_late(self, peer: PeerView) -> bool:
        return peer.is_gone and not peer.is_self and self._silent_s(peer) <= _GONE_S

    def _silent_s(self, peer: PeerView) -> float:
        made_s = self._clock() if peer.made_s is None else peer.made_s
        return peer.silent_s + self._clock() - made_s


def _gone(
    model_id: str, peers: Iterable[PeerView], silent_s: Callable[[PeerView], float]
) -> ModelAway:
    was_on = ", ".join(f"{peer.name}, gone for {silent_s(peer):.0f} s" for peer in peers)
    return ModelAway(
        f"no peer that is here has '{model_id}'; it was on {was_on}",
        "start that peer again, or see who is here with cortex status",
    )


def _unheard(name: str, view: FleetView, *, knows_some: bool) -> ModelAway | None:
    """Where somebody may have it who has not said so yet."""
    here = [peer for peer in view.peers if peer.takes_requests and not peer.is_self]
    silent = [peer.name for peer in here if not peer.stored and "gateway" not in peer.roles]
    if silent:
        return ModelAway(
            f"'{name}' is not known yet: {', '.join(silent[:8])} has still to tell its models",
            "try again in a moment",
        )
    if knows_some:
        return None
    return ModelAway(
        f"'{name}' cannot be looked for: no peer with models is known yet",
        "start one with cortex peer, or join its fleet: cortex doctor tells what is in the way",
    )
