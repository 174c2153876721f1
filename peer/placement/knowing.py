"""What a peer knows, beside the fleet's view, when it plans where a model is loaded."""

from __future__ import annotations

from cortex.engine.costs import ModelCosts

from ..config import PeerConfig
from .books import Rules, Size
from .plan import LoadWish
from .planning import Known
from .seen_books import Eta
from .sizes import parts, sizes


def known_by(config: PeerConfig, eta_s: Eta) -> Known:
    """As the settings are now; `eta_s` is how long loads take."""
    priorities = {model.id: model.priority for model in config.models}
    return Known(
        _sizes,
        parts,
        eta_s,
        Rules(config.eviction.strategy, config.eviction.min_residency_s),
        lambda id: priorities.get(id, 0),
    )


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
