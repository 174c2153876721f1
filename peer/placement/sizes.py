"""In which sizes a model may be loaded, and what a size is made of. Pure.

A model that is given more answers more requests at once, and longer ones; a smaller one leaves room
to others (docs/decisions/0009). Which of them it becomes depends on what is free, and is decided
elsewhere. The parts of a size are those that the engine will share it out into.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from cortex.engine.costs import MemoryPart, ModelCosts
from cortex.engine.memory import MAX_SEQUENCES, PAGE_TOKENS, TOTAL, needed_bytes, plan_memory

from .books import Size

# A context that nobody has asked for may be made as short as this.
LEAST_CONTEXT_TOKENS = 4096
# Below this others go that have been idle for long: most prompts of those who write code are longer
# than the least.
_COMFORT_TOKENS = 16_384
# What all sequences together are to have: eight long conversations, or sixty-four short ones.
_WELCOME_TOKENS = 8 * 8192
# Or so many whole contexts, where nobody says how many: an agent's, and those of its sub-agents.
_WELCOME_CONTEXTS = 4
# So much a model has without being asked, though it be more than its part of the device.
MODEST_TOKENS = 32_768
# A large context is for so many sequences, where one for more of them has no room.
_FEW_SLOTS = 4
# Of an empty device one model takes so much beside its weights, where a full context does not need
# more; and so much where somebody has named both its context and how many run at once.
_SHARE = 4
_NAMED_SHARE = 2


def sizes(
    costs: ModelCosts,
    *,
    context_limit_tokens: int | None,
    wanted_context: int | None,
    wanted_slots: int | None,
    device_budget_bytes: int,
) -> tuple[Size, ...]:
    """The most welcome first, and the smallest that would do last.

    `context_limit_tokens` is how long a context may be here, whatever the model could do;
    `wanted_context` and `wanted_slots` are what somebody has asked for, and are not lowered where
    the model and the engine can do so much. Where nobody has asked, a long context that takes
    more than its part of the device is large, and so is one for few sequences.
    """
    if wanted_slots:
        wanted_slots = min(wanted_slots, MAX_SEQUENCES)
    limit = min(costs.context_tokens, context_limit_tokens or costs.context_tokens)
    whole = min(wanted_context or limit, costs.context_tokens)
    least = whole if wanted_context else min(whole, LEAST_CONTEXT_TOKENS)
    named = wanted_slots if wanted_context else None
    most_bytes = device_budget_bytes // (_NAMED_SHARE if named else _SHARE)
    ways: list[Size] = []
    for num_tokens in _amounts(whole, least, named or _WELCOME_CONTEXTS):
        context = max(least, min(whole, num_tokens))
        size = _size(costs, context, num_tokens, wanted_slots)
        is_modest = size.num_bytes - costs.loaded_bytes <= most_bytes
        if is_modest or num_tokens <= whole:
            is_small = num_tokens <= MODEST_TOKENS
            is_large = not (is_modest or is_small or wanted_context)
            ways.append(replace(size, is_large=is_large))
        if num_tokens <= whole and not (wanted_slots or wanted_context):
            few = _sized(costs, context, context, min(size.num_slots, _FEW_SLOTS))
            ways.append(replace(few, is_large=True))
    ways.append(_sized(costs, least, least, wanted_slots or 1))
    return tuple(_falling(ways))


@lru_cache(maxsize=1024)
def most_context(
    costs: ModelCosts, context_limit_tokens: int, num_slots: int | None, device_budget_bytes: int
) -> int:
    """How long a context can be on a device that has nothing else; where there is no room for any,
    that of the smallest size.
    """
    ways = sizes(
        costs,
        context_limit_tokens=context_limit_tokens,
        wanted_context=None,
        wanted_slots=num_slots,
        device_budget_bytes=device_budget_bytes,
    )
    fitting = (size.context_tokens for size in ways if size.num_bytes <= device_budget_bytes)
    return max(fitting, default=ways[-1].context_tokens)


def comfort_tokens(ways: tuple[Size, ...]) -> int:
    """How much context it is to have where that is no hardship: all that it has, at most."""
    return min(_COMFORT_TOKENS, ways[0].context_tokens)


def parts(costs: ModelCosts, size: Size) -> tuple[MemoryPart, ...]:
    """The sum behind `size.num_bytes`, to the byte, for people to read."""
    budget = plan_memory(
        replace(costs, context_tokens=size.context_tokens), size.num_bytes, size.num_slots,
        host_bytes=0, are_promised=True,
    )  # fmt: skip
    return tuple(part for part in budget.parts() if part.num_bytes and part.name != TOTAL)


def _size(costs: ModelCosts, context_tokens: int, num_tokens: int, slots: int | None) -> Size:
    """So many sequences as cost no more than the pages that they share, where nobody says; of
    whole contexts no more than of what is welcome: their pages are what is wanted.
    """
    shared_tokens = min(num_tokens, _WELCOME_TOKENS)
    pages_bytes = shared_tokens * costs.kv_bytes_per_token
    each_bytes = max(1, costs.sequence_bytes)
    most = min(MAX_SEQUENCES, shared_tokens // PAGE_TOKENS, pages_bytes // each_bytes)
    return _sized(costs, context_tokens, num_tokens, slots or max(1, most))


def _sized(costs: ModelCosts, context_tokens: int, num_tokens: int, slots: int) -> Size:
    given = replace(costs, context_tokens=context_tokens)
    held_tokens = min(num_tokens, slots * context_tokens)
    return Size(context_tokens, slots, needed_bytes(given, held_tokens, slots))


def _amounts(whole: int, least: int, most_contexts: int) -> list[int]:
    """Of tokens in all: halves of what is welcome, and of one whole context, and a few of those."""
    most = whole, _WELCOME_TOKENS
    halves = {tokens >> n for tokens in most for n in range(tokens.bit_length())}
    wanted = {whole * most_contexts >> n for n in range(most_contexts.bit_length())}
    few = {whole * n // 2 for n in range(2, 2 * min(most_contexts, _WELCOME_CONTEXTS))}
    return sorted({whole, *wanted, *few, *(h for h in halves if h >= least)}, reverse=True)


def _falling(ways: list[Size]) -> Iterator[Size]:
    """Without those that are no smaller than one that is more welcome."""
    smallest: int | None = None
    for size in ways:
        if smallest is None or size.num_bytes < smallest:
            smallest = size.num_bytes
            yield size
