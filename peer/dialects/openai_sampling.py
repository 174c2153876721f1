"""What the OpenAI bodies, chat and plain completions, ask of the decoder alike.

How many tokens, how they are drawn, what ends them, and what is told of each. Pure; how the prompt
is given is not known here.
"""

from __future__ import annotations

from typing import NoReturn, cast

from cortex.engine.types import MAX_PRIORITY, MIN_PRIORITY, SamplingWish

from ..errors import UnsupportedParameter
from .fields import Fields, refuse

# Each choice costs the engine what a request does.
MAX_CHOICES = 32
_MAX_BIAS = 100.0
# More digits than any token id has.
_MAX_ID_DIGITS = 9
# Larger wishes mean "as much as the context leaves" all the same.
_MAX_TOKENS = 2**31 - 1
_SEED_BITS = 63


def not_built(name: str, what: str, hint: str = "") -> NoReturn:
    raise UnsupportedParameter(f"{name}: {what}", hint, param=name)


def read_sampling(body: Fields) -> SamplingWish:
    top_k = body.integer("top_k", -1, 2**31 - 1)
    return SamplingWish(
        temperature=body.number("temperature", 0, 2),
        # Elsewhere -1 is a common spelling of "off", which here is 0.
        top_k=None if top_k is None else max(top_k, 0),
        top_p=body.number("top_p", 0, 1),
        min_p=body.number("min_p", 0, 1),
        presence_penalty=body.number("presence_penalty", -2, 2),
        frequency_penalty=body.number("frequency_penalty", -2, 2),
        repetition_penalty=body.number("repetition_penalty", 0.01, 10),
    )


def read_seed(body: Fields, random_seed: int) -> int:
    seed = body.integer("seed", -(2**63))
    return (random_seed if seed is None else seed) % 2**_SEED_BITS


def read_max_tokens(body: Fields) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        if body.has(name):
            value = body.raw(name)
            too_large = isinstance(value, (int, float)) and value > _MAX_TOKENS
            return _MAX_TOKENS if too_large else body.integer(name, 1)
    return None


def read_min_tokens(body: Fields) -> int:
    return body.integer("min_tokens", 0, _MAX_TOKENS) or 0


def read_stop(body: Fields) -> tuple[str, ...]:
    value = body.raw("stop")
    stops = [value] if isinstance(value, str) else (body.items("stop") or [])
    if not all(isinstance(stop, str) for stop in stops):
        refuse("stop", "must be a string or a list of strings")
    return tuple(stop for stop in cast(list[str], stops) if stop)


def read_num_choices(body: Fields) -> int:
    return body.integer("n", 1, MAX_CHOICES) or 1


def read_logit_bias(body: Fields) -> tuple[tuple[int, float], ...]:
    """Token ids, which JSON spells as strings, with what is added to their scores."""
    biases = body.object("logit_bias")
    if biases is None:
        return ()
    read: dict[int, float] = {}
    for name in biases.names():
        if not (name.isascii() and name.isdigit() and len(name) <= _MAX_ID_DIGITS):
            refuse("logit_bias", f"{name[:20]!r} is no token id", "its keys are ids, as strings")
        bias = biases.number(name, -_MAX_BIAS, _MAX_BIAS)
        if bias is not None:
            read[int(name)] = bias
    return tuple(read.items())


def read_priority(body: Fields) -> int:
    return body.integer("priority", MIN_PRIORITY, MAX_PRIORITY) or 0


def read_routing_key(body: Fields) -> str:
    """A hint of which conversation this is; never a reason to refuse."""
    for name in ("prompt_cache_key", "user", "safety_identifier"):
        value = body.raw(name)
        if isinstance(value, str) and value:
            return value[:256]
    return ""
