"""What the operator says of single models here: what outlasts what, what stays, what lives here."""

from __future__ import annotations

from collections.abc import Collection

from ..config import PeerConfig
from .books import Rules


class Habits:
    """Read from one config; a model that it does not name has those of all."""

    def __init__(self, config: PeerConfig) -> None:
        self._config = config
        self._name = "" if config.fleet is None else config.fleet.name

    @property
    def rules(self) -> Rules:
        eviction = self._config.eviction
        return Rules(eviction.strategy, eviction.min_residency_s)

    @property
    def pinned(self) -> frozenset[str]:
        return frozenset(m.id for m in self._config.models if self._is_here(m.pinned))

    @property
    def at_home(self) -> tuple[str, ...]:
        """The models that live here, the most important one first."""
        homes = [m for m in self._config.models if self._is_here(m.home)]
        return tuple(m.id for m in sorted(homes, key=lambda m: -m.priority))

    def priority(self, model_id: str) -> int:
        return self._config.model(model_id).priority

    def idle_ttl_s(self, model_id: str) -> float | None:
        """How long it may be idle; None is for ever, as for what lives here."""
        model = self._config.model(model_id)
        return None if self._is_here(model.home) else model.idle_ttl_s

    def devices(self, model_id: str, num_devices: int) -> Collection[int]:
        """Where it may be."""
        return self._config.model(model_id).devices or range(num_devices)

    def _is_here(self, where: bool | tuple[str, ...]) -> bool:
        return where if isinstance(where, bool) else self._name in where
