"""One token drawn from each row's scores: temperature, top-k, top-p, min-p, and repeatable noise.

Truncations apply in that order, and each comes down to a floor: what scores below it is left out,
what equals it stays. The floors are looked for among the best few scores first, and among more of
them only where they were not certainly there. How many are looked at is decided by each row for
itself, so that its result does not depend on the rows beside it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..types import Sampling
from .largest import largest, top
from .noise import Key, gumbel_noise

# How many of the best scores are looked at before all of them are.
_FIRST_WIDTHS = (64, 1024)
# Rows without truncations are drawn from so many scores at a time: a processor's cache holds them.
_SCORES_AT_ONCE = 1 << 19
_NO_FLOOR = float("-inf")


@dataclass(frozen=True, slots=True)
class Draw:
    """A row to draw from: how, and the key of its noise."""

    sampling: Sampling
    key: Key


@dataclass(frozen=True, slots=True)
class _Found:
    """One item a row. A row that is not settled must be looked at more widely."""

    token_ids: list[int]
    is_sound: list[bool]
    is_settled: list[bool]


def draw(scores: torch.Tensor, draws: Sequence[Draw]) -> list[int | None]:
    """A token id for each row of scores float32 [rows, vocab], which stay as they are.

    None where nothing can be drawn: the scores are not numbers, or everything is forbidden.
    """
    vocab_size = scores.shape[1]
    token_ids: list[int | None] = [None] * len(draws)
    truncated = [place for place, d in enumerate(draws) if _is_truncated(d.sampling, vocab_size)]
    if len(truncated) < len(draws):
        whole = [p for p, d in enumerate(draws) if not _is_truncated(d.sampling, vocab_size)]
        _draw_whole(scores, draws, whole, token_ids)
    widths = sorted({min(width, vocab_size) for width in (*_FIRST_WIDTHS, vocab_size)})
    waiting = {place: _first_width(draws[place].sampling, widths) for place in truncated}
    for width, wider in itertools.pairwise((*widths, vocab_size)):
        places = [place for place, wanted in waiting.items() if wanted == width]
        if not places:
            continue
        found = _draw_among(take(scores, places), [draws[place] for place in places], width)
        for index, place in enumerate(places):
            if not found.is_settled[index]:
                waiting[place] = wider
            elif found.is_sound[index]:
                token_ids[place] = found.token_ids[index]
    return token_ids


def take(rows: torch.Tensor, places: Sequence[int]) -> torch.Tensor:
    """Some rows, in rising order; not copied where they are all of them."""
    if len(places) == len(rows):
        return rows
    return rows[torch.tensor(places, device=rows.device)]


def _is_truncated(sampling: Sampling, vocab_size: int) -> bool:
    return 0 < sampling.top_k < vocab_size or sampling.top_p < 1.0 or sampling.min_p > 0.0


def _first_width(sampling: Sampling, widths: Sequence[int]) -> int:
    """The first that holds one score more than top-k keeps: equals of the last would show."""
    return next((width for width in widths if width > sampling.top_k), widths[-1])


def _draw_whole(
    scores: torch.Tensor, draws: Sequence[Draw], places: list[int], token_ids: list[int | None]
) -> None:
    """Draw where nothing is left out: every token gets its noise."""
    vocab = torch.arange(scores.shape[1], dtype=torch.int32, device=scores.device)[None]
    num_at_once = max(1, _SCORES_AT_ONCE // scores.shape[1])
    for start in range(0, len(places), num_at_once):
        some = places[start : start + num_at_once]
        noised = gumbel_noise(vocab, [draws[place].key for place in some])  # [some, vocab]
        temperatures = [draws[place].sampling.temperature for place in some]
        noised += take(scores, some) / _column(temperatures, scores.device)
        values, ids = largest(noised)
        for place, value, token_id in zip(some, values.tolist(), ids.tolist(), strict=True):
            if math.isfinite(value):
                token_ids[place] = token_id


def _draw_among(scores: torch.Tensor, draws: Sequence[Draw], width: int) -> _Found:
    """Draw among the `width` best scores of each row."""
    samplings = [d.sampling for d in draws]
    values, ids = top(scores, width)  # each [rows, width]
    values = values / _column([s.temperature for s in samplings], scores.device)
    floor = _floor(values, scores, samplings)  # [rows, 1]
    noised = values + gumbel_noise(ids.int(), [d.key for d in draws])
    # "Below the floor", not "not above it": where scores are no numbers, that must show.
    best, place = noised.masked_fill_(values < floor, float("-inf")).max(dim=-1)
    last = values[:, -1:]
    is_settled = (floor > last) | (last == float("-inf"))
    return _Found(
        ids.gather(1, place[:, None])[:, 0].tolist(),
        best.isfinite().tolist(),
        [True] * len(draws) if width == scores.shape[1] else is_settled[:, 0].tolist(),
    )


def _floor(
    values: torch.Tensor, scores: torch.Tensor, samplings: Sequence[Sampling]
) -> torch.Tensor:
    """The lowest score that stays, [rows, 1].

    values [rows, width] are the row's best, falling, over the temperature; scores [rows, vocab] all
    of them. A floor that is not above the last of the values need not be the right one.
    """
    # As shares: share of the best * min_p; as scores, that is a distance below the best.
    distance = [math.log(s.min_p) if s.min_p > 0.0 else _NO_FLOOR for s in samplings]
    floor = values[:, :1] + _column(distance, values.device)
    if any(s.top_k for s in samplings):
        floor = torch.maximum(floor, _top_k_floor(values, scores.shape[1], samplings))
    if any(s.top_p < 1.0 for s in samplings):
        floor = torch.maximum(floor, _top_p_floor(values, scores, samplings))
    return floor


def _top_k_floor(
    values: torch.Tensor, vocab_size: int, samplings: Sequence[Sampling]
) -> torch.Tensor:
    top_ks = [s.top_k if s.top_k < vocab_size else 0 for s in samplings]
    places = torch.tensor([[max(k, 1) - 1] for k in top_ks], device=values.device)
    is_off = torch.tensor([[k == 0] for k in top_ks], device=values.device)
    return values.gather(1, places).masked_fill_(is_off, _NO_FLOOR)


def _top_p_floor(
    values: torch.Tensor, scores: torch.Tensor, samplings: Sequence[Sampling]
) -> torch.Tensor:
    """A token stays while the mass before it is below top_p, and its equals with it."""
    shares = _shares(values, scores, samplings)
    mass_before = shares.cumsum(dim=-1) - shares
    top_ps = _column([s.top_p for s in samplings], values.device)
    num_kept = (mass_before < top_ps).sum(dim=-1, keepdim=True).clamp(min=1)
    is_off = torch.tensor([[s.top_p >= 1.0] for s in samplings], device=values.device)
    return values.gather(1, num_kept - 1).masked_fill_(is_off, _NO_FLOOR)


def _shares(
    values: torch.Tensor, scores: torch.Tensor, samplings: Sequence[Sampling]
) -> torch.Tensor:
    """The share of each value [rows, width] of what top-k leaves, or of all where it is off."""
    vocab_size = scores.shape[1]
    left = values.masked_fill(
        values < _top_k_floor(values, vocab_size, samplings), float("-inf")
    ).softmax(dim=-1)
    of_all = [
        place for place, s in enumerate(samplings) if s.top_p < 1.0 and not 0 < s.top_k < vocab_size
    ]
    if not of_all:
        return left
    temperatures = [samplings[place].temperature for place in of_all]
    scaled = take(scores, of_all) / _column(temperatures, scores.device)
    # What a softmax makes of a row does not depend on the rows beside it; a plain sum may.
    best_share, _ = largest(scaled.softmax(dim=-1))
    index = torch.tensor(of_all, device=values.device)
    left[index] = (values[index] - values[index, :1]).exp() * best_share[:, None]
    return left


def _column(numbers: Sequence[float], device: torch.device) -> torch.Tensor:
    """float32 [rows, 1]."""
    return torch.tensor(numbers, dtype=torch.float32, device=device)[:, None]
