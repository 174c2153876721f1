"""What the operator says of single models here: what outlasts what, what stays, what lives here."""

from __future__ import annotations

import math
from collections.abc import Collection

from ..config import PeerConfig
from ..types import ModelInfo
from .books import Rules


class Habits:
    """Read from one config; a model that it does not name has those of all."""

    def __init__(self, config: PeerConfig) -> None:
        self._config = config
        self._name = "" if config.fleet is None else config.fleet.name

    @property
    def rules(self) -> Rules:
        return self._config.eviction

    @property
    def cold_wait_s(self) -> float:
        """How long one who sees no stages waits for a load before it is told to come back."""
        return self._config.cold_wait_s

    @property
    def pinned(self) -> frozenset[str]:
        return frozenset(m.id for m in self._config.models if m.is_pinned_on(self._name))

    @property
    def at_home(self) -> tuple[str, ...]:
        """The models that live here, the most important one first."""
        homes = [m for m in self._config.models if m.is_at_home_on(self._name)]
        return tuple(m.id for m in sorted(homes, key=lambda m: -m.priority))

    def priority(self, model_id: str) -> int:
        return self._config.model(model_id).priority

    def idle_ttl_s(self, model_id: str) -> float | None:
        """How long it may be idle; None is for ever, as for what lives here."""
        model = self._config.model(model_id)
        ttl_s = model.idle_ttl_s
        if ttl_s is None or model.is_at_home_on(self._name):
            return None
        return ttl_s if math.isfinite(ttl_s) else None

    @property
    def engine_ttl_s(self) -> float | None:
        """How long an engine may be without a model; None is for ever."""
        return self._config.eviction.idle_ttl_s

    def num_slots(self, model_id: str) -> int | None:
        """How many answers it is to make at one time, where anybody says."""
        return self._config.model(model_id).max_slots

    def context_tokens(self, model_id: str) -> int | None:
        """How long its contexts may be, where anybody says."""
        return self._config.model(model_id).context_tokens

    def more_context(self, model: ModelInfo) -> str:
        """What would let it have more than it may; "" where it has no more."""
        if self.context_tokens(model.id) != model.context_length:
            return ""
        return "to have more, raise `context` in cortex.toml or models.toml"

    def devices(self, model_id: str, num_devices: int) -> Collection[int]:
        """Where it may be."""
        return self._config.model(model_id).devices or range(num_devices)
