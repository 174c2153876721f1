"""What a row's token is drawn by, as numbers that a device's kernels read.

So that a step's launches depend on no row's values: they lie in one tensor, a row each. Which
kinds of truncation are asked for at all decides what is launched. No kernel is known here.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch

from ..types import Sampling
from .noise import noise_key

# A row's wishes as int32, floats by their bits.
NUM_WISHES = 7
TEMPERATURE, LOG_MIN_P, TOP_P, TOP_K, KEY_LOW, KEY_HIGH, MASK = range(NUM_WISHES)
_NO_MASK = -1


class Truncations(NamedTuple):
    """What any row asks for: decides which kernels run. Asked for by none, they would find out."""

    top_k: bool
    top_p: bool
    min_p: bool


class RowWishes(NamedTuple):
    """A new token's sampling and position, and which of some masks it has (-1: none)."""

    sampling: Sampling
    position: int
    mask: int = _NO_MASK


# Whose token nobody wants.
ANY_TOKEN = RowWishes(Sampling(0, temperature=0.0), 0)

# Logits float32 [rows, vocab], masks int32 [masks, vocab / 32, rounded up], wishes int32 [rows,
# wishes] on their device to token ids int64 [rows] there: -1 where nothing can be drawn.
DrawTokens = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Truncations], torch.Tensor]


def truncations_of(samplings: Sequence[Sampling]) -> Truncations:
    drawn = [s for s in samplings if s.temperature != 0.0]
    return Truncations(
        any(s.top_k > 0 for s in drawn),
        any(s.top_p < 1.0 for s in drawn),
        any(s.min_p > 0.0 for s in drawn),
    )


def pack_wishes(rows: Iterable[RowWishes]) -> bytes:
    return b"".join(
        struct.pack(
            "<fffiiii", s.temperature, math.log(s.min_p) if s.min_p > 0.0 else -math.inf,
            # Greedy rows look for no floor, whatever they say.
            s.top_p if s.temperature else 1.0, s.top_k if s.temperature else 0,
            *noise_key(s.seed, position), mask,
        )
        for s, position, mask in rows
    )  # fmt: skip


def wishes_of(rows: Iterable[RowWishes]) -> torch.Tensor:
    """int32 [rows, wishes]."""
    return torch.frombuffer(bytearray(pack_wishes(rows)), dtype=torch.int32).view(-1, NUM_WISHES)
