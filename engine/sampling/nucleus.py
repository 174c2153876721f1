"""One row's draw where the best few scores do not hold the answer: exact, over all scores.

The floors of `drawing.py` again, but found without sorting: a vocabulary sorts in tens of
milliseconds, and here two passes over it cost less than one.
"""

from __future__ import annotations

import math

import torch
from torch.nn.functional import threshold

from ..types import Sampling
from .largest import top
from .noise import MAX_NOISE, Key, gumbel_noise

_NUM_BEST = 64
# Shares so far below the best are zero in float32: exp(-104) is its smallest number.
_DEEPEST = 104.0
_HALVINGS = 10


def draw_from_all(scores: torch.Tensor, sampling: Sampling, key: Key) -> int | None:
    """A token id drawn from scores float32 [vocab]; None where nothing can be drawn."""
    scaled = scores / sampling.temperature
    best = float(scaled.amax())
    if not math.isfinite(best):
        return None
    floor = _floor(scaled, best, sampling)
    values, ids = top(scaled[None], min(_NUM_BEST, len(scaled)))
    noised = values + gumbel_noise(ids.int(), [key])
    # What the winner reaches at least: below it by more than any noise there is no hope.
    reached = float(noised.masked_fill_(values < floor, float("-inf")).amax())
    hopeful = (scaled >= max(floor, reached - MAX_NOISE)).nonzero()[:, 0]  # int64, rising
    noise = gumbel_noise(hopeful.int()[None], [key])[0]
    return int(hopeful[(scaled[hopeful] + noise).argmax()])


def _floor(scaled: torch.Tensor, best: float, sampling: Sampling) -> float:
    floor = -math.inf
    if 0 < sampling.top_k < len(scaled):
        floor = float(scaled.topk(sampling.top_k).values[-1])
    if sampling.top_p < 1.0:
        left = scaled if floor == -math.inf else scaled.masked_fill(scaled < floor, -math.inf)
        floor = max(floor, nucleus_floor(left, best, sampling.top_p))
    if sampling.min_p > 0.0:
        floor = max(floor, best + math.log(sampling.min_p))
    return floor


def nucleus_floor(left: torch.Tensor, best: float, top_p: float) -> float:
    """The lowest score above which lies less than top_p of the mass.

    The share at which it lies is closed in on by halves, on a logarithmic scale, until few scores
    are left between two shares; those are sorted.
    """
    if top_p <= 0.0:
        return best
    shares = left.softmax(dim=0)
    best_share = float(shares.amax())
    # As distances below the best: less than top_p lies above the near one, but not above the far.
    near, far = 0.0, _DEEPEST
    above_near = 0.0
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        above = float(threshold(shares, best_share * math.exp(-middle), 0.0).sum())
        if above < top_p:
            near, above_near = middle, above
        else:
            far = middle
    highest, lowest = best_share * math.exp(-near), best_share * math.exp(-far)
    between = ((shares > lowest) & (shares <= highest)).nonzero()[:, 0]
    ordered, order = left[between].sort(descending=True)
    sorted_shares = shares[between][order]
    before = above_near + sorted_shares.cumsum(dim=0) - sorted_shares
    num_kept = int((before < top_p).sum())
    # None is kept where rounding alone had put the end between two scores.
    return float(ordered[num_kept - 1]) if num_kept else best - near
