"""In which sizes a model may be loaded, and what each of them is made of. Pure."""

from __future__ import annotations

from cortex.engine.costs import MemoryPart, ModelCosts
from cortex.engine.memory import PAGE_TOKENS

from .books import Size

# A usual conversation, and so many of them at a time.
_USUAL_TOKENS = 4096
_USUAL_SLOTS = 8


def sizes(
    costs: ModelCosts,
    *,
    context_limit_tokens: int,
    wanted_context: int | None,
    wanted_slots: int | None,
    device_budget_bytes: int,
) -> tuple[Size, ...]:
    """The most welcome one first, the smallest that would do last. What is wished for is not
    lowered; beyond one whole context no more than a quarter of the device is asked for.
    """
    most_tokens = min(costs.context_tokens, context_limit_tokens)
    contexts = [most_tokens, min(most_tokens, _USUAL_TOKENS)]
    slots = [wanted_slots] if wanted_slots else [_USUAL_SLOTS, _USUAL_SLOTS // 2, 1]
    found = [
        _size(costs, tokens, number)
        for tokens in ([wanted_context] if wanted_context else contexts)
        for number in slots
    ]
    most_bytes = found[-1].num_bytes + device_budget_bytes // 4
    kept = [one for one in found if one.num_slots == slots[-1] or one.num_bytes <= most_bytes]
    return tuple(sorted(dict.fromkeys(kept), key=lambda size: -size.num_bytes))


def parts(costs: ModelCosts, size: Size) -> tuple[MemoryPart, ...]:
    """The sum behind `size.num_bytes`."""
    each = f"for {size.num_slots} of {size.context_tokens:,} tokens"
    return (
        MemoryPart("weights", costs.weights_bytes),
        MemoryPart("keys and values", _kv_bytes(costs, size.context_tokens) * size.num_slots, each),
        MemoryPart("recurrent states", costs.state_bytes * size.num_slots),
        MemoryPart("pictures", costs.vision_peak_bytes + costs.chunk_images_bytes),
        MemoryPart("work of a step", costs.workspace_bytes),
    )


def _size(costs: ModelCosts, context_tokens: int, num_slots: int) -> Size:
    kept_bytes = _kv_bytes(costs, context_tokens) + costs.state_bytes
    fixed_bytes = costs.fixed_bytes + costs.chunk_images_bytes
    return Size(context_tokens, num_slots, fixed_bytes + num_slots * kept_bytes)


def _kv_bytes(costs: ModelCosts, context_tokens: int) -> int:
    return -(-context_tokens // PAGE_TOKENS) * PAGE_TOKENS * costs.kv_bytes_per_token
