"""What may be done to a peer's models, beside asking them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cortex.engine.types import Stage

from .plan import LoadWish, Plan, Planned


class Steering(Protocol):
    """One peer's. Everything is called on the peer's loop. A load that is wished for goes on when
    whoever wished for it has left, unless nobody else wants it; doing again what is done already
    does no harm.
    """

    def plan(self, wish: LoadWish) -> Planned:
        """What `load` would do now; acts on nothing."""
        ...

    async def load(self, wish: LoadWish, on_stage: Callable[[Stage], None]) -> Plan:
        """Return when the model is ready, with the plan as it was carried out.

        Raises ModelNotFound, InsufficientVram with the refusals in words, or what the load failed
        with.
        """
        ...

    async def unload(self, model_id: str, *, is_forced: bool = False) -> None:
        """Return when it is gone. What it is answering ends first; with `is_forced` that is ended.

        Raises ModelNotFound, or ModelPinned unless forced.
        """
        ...

    def pin(self, model_id: str) -> None:
        """From now on it is no victim, and does not go when idle. Raises ModelNotFound."""
        ...

    def unpin(self, model_id: str) -> None: ...
