"""What a model's generation_config.json says, and a client's wish resolved against it.

Ranges are checked here, once, for every dialect. Knows nothing of how a token is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from msgspec.structs import replace

from .errors import InvalidRequest, ModelInvalid
from .model_files import read_json_object
from .types import Sampling, SamplingWish


@dataclass(frozen=True, slots=True)
class Range:
    low: float
    high: float
    takes_low: bool = True

    def holds(self, value: float) -> bool:
        """Whether the value lies in the range; what is not a number does not."""
        return (self.low <= value if self.takes_low else self.low < value) and value <= self.high

    def __str__(self) -> str:
        return f"{'from' if self.takes_low else 'above'} {self.low:g} to {self.high:g}"


RANGES = {
    "temperature": Range(0, 2),
    "top_k": Range(0, 1_000_000),
    "top_p": Range(0, 1),
    "min_p": Range(0, 1),
    "presence_penalty": Range(-2, 2),
    "frequency_penalty": Range(-2, 2),
    "repetition_penalty": Range(0, 10, takes_low=False),
}
# Fields of generation_config.json that would change an answer and that this sampler does not know,
# each with the values that ask for nothing (names and neutral values: transformers 5,
# GenerationConfig). Lengths and ways of being faster are not among them.
_NOT_SERVED: dict[str, tuple[Any, ...]] = {
    "bad_words_ids": ([],),
    "begin_suppress_tokens": ([],),
    "constraints": ([],),
    "diversity_penalty": (0,),
    "dola_layers": (),
    "encoder_no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1,),
    "epsilon_cutoff": (0,),
    "eta_cutoff": (0,),
    "exponential_decay_length_penalty": (),
    "force_words_ids": ([],),
    "forced_bos_token_id": (),
    "forced_eos_token_id": (),
    "guidance_scale": (1,),
    "min_length": (0,),
    "min_new_tokens": (0,),
    "no_repeat_ngram_size": (0,),
    "num_beam_groups": (1,),
    "num_beams": (1,),
    "penalty_alpha": (0,),
    "sequence_bias": ([], {}),
    "stop_strings": ([],),
    "suppress_tokens": ([],),
    "top_h": (),
    "typical_p": (1,),
    "watermarking_config": (),
}
# Dividing float32 scores by less than this could overflow; the answer is greedy long before.
_GREEDY_BELOW = 1e-4
# Seeds of a request's choices lie far apart: neighbours are what people ask for themselves.
_SEED_STEP = 0x9E3779B97F4A7C15
_NUM_SEEDS = 2**63


@dataclass(frozen=True, slots=True)
class GenerationDefaults:
    """`wish` is what the model's makers would ask of the sampler."""

    wish: SamplingWish
    stop_token_ids: tuple[int, ...]


def read_generation_defaults(
    model_dir: Path, config: Mapping[str, Any], turn_end_id: int | None = None
) -> GenerationDefaults:
    """The folder's generation_config.json; `config` is its config.json, for what is not there.

    An answer ends at `turn_end_id` too, the tokenizer's own: some configs name the end of a text
    alone, which is not that of a turn.

    Raises ModelInvalid for a value out of range, for a wish that this sampler does not know, or
    where nothing says how an answer ends.
    """
    path = model_dir / "generation_config.json"
    given = read_json_object(path) if path.exists() else {}
    for name, neutral in _NOT_SERVED.items():
        if given.get(name) is not None and given[name] not in neutral:
            raise ModelInvalid(
                f"{path}: {name} = {given[name]!r} is not served",
                "take the field out to have the model answer without it",
            )
    wish = {name: given[name] for name in RANGES if given.get(name) is not None}
    if given.get("do_sample") is False:
        wish["temperature"] = 0
    for name, value in wish.items():
        if not _is_number(value) or not RANGES[name].holds(value):
            raise ModelInvalid(f"{path}: {name} = {value!r} is not a number {RANGES[name]}")
    if not isinstance(wish.get("top_k", 0), int):
        raise ModelInvalid(f"{path}: top_k = {wish['top_k']!r} is not a whole number")
    inner = cast(dict[str, Any], config.get("text_config") or {})
    named = (source.get("eos_token_id") for source in (given, config, inner))
    stop = next((value for value in named if value is not None), None)
    stop_token_ids = _token_ids(model_dir, stop) if stop is not None else ()
    if turn_end_id is not None and turn_end_id not in stop_token_ids:
        stop_token_ids = (*stop_token_ids, turn_end_id)
    if not stop_token_ids:
        raise ModelInvalid(
            f"{model_dir}: eos_token_id is missing", "put it into generation_config.json"
        )
    return GenerationDefaults(SamplingWish(**wish), stop_token_ids)


def resolve_sampling(wish: SamplingWish, defaults: SamplingWish, seed: int) -> Sampling:
    """The wish where it says something, else the model's defaults, else neutral values.

    Raises InvalidRequest, naming the field, for a wish out of range.
    """
    chosen: dict[str, Any] = {}
    for name in SamplingWish.__struct_fields__:
        value = cast(float | None, getattr(wish, name))
        if value is None:
            value = cast(float | None, getattr(defaults, name))
        elif not RANGES[name].holds(value):
            raise InvalidRequest(f"{name} must be {RANGES[name]}, not {value!r}", param=name)
        if value is not None:
            chosen[name] = value
    sampling = Sampling(seed=seed, **chosen)
    return sampling if sampling.temperature >= _GREEDY_BELOW else replace(sampling, temperature=0)


def choice_sampling(sampling: Sampling, choice: int) -> Sampling:
    """How one of several answers to the same prompt is sampled: the first as if it were alone."""
    return replace(sampling, seed=(sampling.seed + choice * _SEED_STEP) % _NUM_SEEDS)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _token_ids(model_dir: Path, value: Any) -> tuple[int, ...]:
    values = cast(list[Any], value) if isinstance(value, list) else [value]
    if not values or not all(isinstance(v, int) and v >= 0 for v in values):
        raise ModelInvalid(f"{model_dir}: eos_token_id = {value!r} is no token id, nor a list")
    return tuple(values)
