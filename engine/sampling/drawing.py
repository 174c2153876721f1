"""One token drawn from each row's scores: temperature, top-k, top-p, min-p, and repeatable noise.

Truncations apply in that order, and each comes down to a floor: what scores below it is left out,
what equals it stays. The floors are looked for among the best few scores of all rows together;
rows that do not have them there are looked at one by one (`nucleus.py`). How many are looked at is
decided by each row for itself, so that its result does not depend on the rows beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch

from ..types import Sampling
from .largest import largest, sound_ids, top
from .noise import Key, gumbel_noise
from .nucleus import draw_from_all

# How many of the best scores are looked at before all of them are.
_NARROW, _WIDE = 64, 1024
# Where nothing is left out, or the floor may lie anywhere.
_UNSORTED, _ALL = -1, 0
# A vocabulary so small is looked at as a whole, for all rows together, where that is needed.
_SMALL_VOCAB_TOKENS = 4096
_NO_FLOOR = float("-inf")


@dataclass(frozen=True, slots=True)
class Draw:
    """A row to draw from: how, and the key of its noise."""

    sampling: Sampling
    key: Key


@dataclass(frozen=True, slots=True)
class _Found:
    """One item a row. A row that is not settled must be looked at more widely."""

    token_ids: list[int | None]
    is_settled: list[bool]


def draw(scores: torch.Tensor, draws: Sequence[Draw]) -> list[int | None]:
    """A token id for each row of scores float32 [rows, vocab], which stay as they are.

    None where nothing can be drawn: the scores are not numbers, or everything is forbidden.
    """
    token_ids: list[int | None] = [None] * len(draws)
    widths = {place: _first_width(d.sampling) for place, d in enumerate(draws)}
    for width, wider in ((_UNSORTED, _ALL), (_NARROW, _WIDE), (_WIDE, _ALL), (_ALL, _ALL)):
        places = [place for place, wanted in widths.items() if wanted == width]
        if not places:
            continue
        found = _look(take(scores, places), [draws[place] for place in places], width)
        for index, place in enumerate(places):
            token_ids[place] = found.token_ids[index]
            if not found.is_settled[index]:
                widths[place] = wider
    return token_ids


def take(rows: torch.Tensor, places: Sequence[int]) -> torch.Tensor:
    """Some rows, in rising order; not copied where they follow on each other."""
    if places[-1] - places[0] + 1 == len(places):
        return rows[places[0] : places[-1] + 1]
    return rows[torch.tensor(places, device=rows.device)]


def _is_truncated(sampling: Sampling) -> bool:
    return sampling.top_k > 0 or sampling.top_p < 1.0 or sampling.min_p > 0.0


def _first_width(sampling: Sampling) -> int:
    """The first that may hold the floor: with top-k, one score more, or equals would not show."""
    if not _is_truncated(sampling):
        return _UNSORTED
    if sampling.top_k < _NARROW:
        return _NARROW
    return _WIDE if sampling.top_k < _WIDE else _ALL


def _look(scores: torch.Tensor, draws: Sequence[Draw], width: int) -> _Found:
    vocab_size = scores.shape[1]
    if vocab_size > _SMALL_VOCAB_TOKENS and width in (_UNSORTED, _ALL):
        pairs = zip(scores, draws, strict=True)
        return _settled([draw_from_all(row, d.sampling, d.key) for row, d in pairs])
    if width == _UNSORTED:
        return _settled(_draw_whole(scores, draws))
    if width == _ALL or width >= vocab_size:
        return _settled(_draw_among(scores, draws, vocab_size).token_ids)
    return _draw_among(scores, draws, width)


def _settled(token_ids: list[int | None]) -> _Found:
    return _Found(token_ids, [True] * len(token_ids))


def _draw_whole(scores: torch.Tensor, draws: Sequence[Draw]) -> list[int | None]:
    """Draw where nothing is left out: every token gets its noise."""
    vocab = torch.arange(scores.shape[1], dtype=torch.int32, device=scores.device)[None]
    noised = gumbel_noise(vocab, [d.key for d in draws])  # [rows, vocab]
    noised += scores / _column([d.sampling.temperature for d in draws], scores.device)
    return sound_ids(*largest(noised))


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
    is_settled = cast("list[bool]", ((floor > last) | (last == float("-inf")))[:, 0].tolist())
    return _Found(sound_ids(best, ids.gather(1, place[:, None])[:, 0]), is_settled)


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
        floor = torch.maximum(floor, _top_k_floor(values, samplings))
    if any(s.top_p < 1.0 for s in samplings):
        floor = torch.maximum(floor, _top_p_floor(values, scores, samplings))
    return floor


def _top_k_floor(values: torch.Tensor, samplings: Sequence[Sampling]) -> torch.Tensor:
    """Where top-k is off, or keeps more than there is, everything stays."""
    last = values.shape[1] - 1
    kth = [[min(max(s.top_k, 1) - 1, last)] for s in samplings]
    places = torch.tensor(kth, device=values.device)
    is_off = torch.tensor([[s.top_k == 0] for s in samplings], device=values.device)
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
    floor = _top_k_floor(values, samplings)
    left = values.masked_fill(values < floor, float("-inf")).softmax(dim=-1)
    of_all = [place for place, s in enumerate(samplings) if s.top_p < 1.0 and not s.top_k]
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
