"""The floors of top-k and top-p over whole vocabularies, in Triton, found without sorting.

Both are the smallest score t such that less than a limit lies above t: k scores, or top_p of the
mass. Scores are taken for integers of the same order, and the range in which t lies is cut into
sixteen in every launch: eight launches come down to one number, whatever the scores. No step
depends on what was found, so that a CUDA graph can hold them all, and all sums are taken in one
order, so that a row's floor depends on no other row.
"""

# What is decorated is in a language of its own, without Python's types.
# pyright: basic, reportGeneralTypeIssues=false
from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from ...sampling.wishes import MASK, NUM_WISHES, TEMPERATURE, TOP_K, TOP_P

# Scores that a program looks at, and how many at a time.
BLOCK_TOKENS = 8192
_TOKENS_AT_ONCE = 256
WAYS = 16
# 16 ** 8 is as many as there are float32 numbers.
LAUNCHES = 8

_TEMPERATURE = tl.constexpr(TEMPERATURE)
_TOP_P = tl.constexpr(TOP_P)
_TOP_K = tl.constexpr(TOP_K)
_MASK = tl.constexpr(MASK)
_WISHES = tl.constexpr(NUM_WISHES)
# Below that of minus infinity: as an integer in the order of scores.
_BELOW_ALL = tl.constexpr(-2139095042)


@triton.jit
def float_wish(wishes, row, which: tl.constexpr):
    return tl.load(wishes + row * _WISHES + which).to(tl.float32, bitcast=True)


@triton.jit
def scaled_scores(logits, masks, row_words, wishes, row, stride, token, vocab):
    """Some scores of a row over its temperature, -inf where its mask or the end of the vocabulary
    forbids them; and whether any of them is no number, masked or not.
    """
    is_there = token < vocab
    score = tl.load(logits + row * stride + token, mask=is_there, other=float("-inf"))
    is_bad = tl.max(((score != score) | (score == float("inf"))).to(tl.int32), 0)
    mask_row = tl.load(wishes + row * _WISHES + _MASK).to(tl.int64)
    is_masked = is_there & (mask_row >= 0)
    word = tl.load(masks + mask_row * row_words + token // 32, mask=is_masked, other=-1)
    score = tl.where((word >> (token % 32)) & 1 == 1, score, float("-inf"))
    temperature = float_wish(wishes, row, _TEMPERATURE)
    # As IEEE has it, and torch: a plain division is rounded less well.
    scaled = tl.div_rn(score, tl.where(temperature == 0.0, 1.0, temperature))
    return scaled, is_bad


@triton.jit
def _ordered(x):
    """Float32 to integers of the same order. It is its own inverse but for the types."""
    bits = x.to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
def block_best(
    logits, masks, wishes, bests, row_words, stride, vocab, blocks, block_tokens: tl.constexpr
):
    """bests [rows, blocks]: the largest scaled score of each block."""
    row, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    token = block * block_tokens + tl.arange(0, block_tokens)
    scaled, _ = scaled_scores(logits, masks, row_words, wishes, row, stride, token, vocab)
    tl.store(bests + row * blocks + block, tl.max(scaled, 0))


@triton.jit
def best_of(bests, row, blocks, block_count: tl.constexpr):
    """A row's best; 0 for a row that none can be drawn from, whose floors do not matter."""
    block = tl.arange(0, block_count)
    each = tl.load(bests + row * blocks + block, mask=block < blocks, other=float("-inf"))
    most = tl.max(each, 0)
    return tl.where((most > float("-inf")) & (most < float("inf")), most, 0.0)


@triton.jit
def _cuts(low, high, ways: tl.constexpr):
    """int64 [ways]: from `low` on, evenly, below `high`."""
    return low + (high - low) * tl.arange(0, ways).to(tl.int64) // ways


@triton.jit
def _narrowed(bounds, sums, limit, row, blocks, block_count: tl.constexpr, ways: tl.constexpr):
    """The range after a launch, of which less than the limit lies above the high end, and not above
    the low one: what was found above each cut is added up.
    """
    low, high = tl.load(bounds + 2 * row), tl.load(bounds + 2 * row + 1)
    block = tl.arange(0, block_count)[:, None]
    place = sums + (row * blocks + block) * ways + tl.arange(0, ways)[None, :]
    above = tl.sum(tl.load(place, mask=block < blocks, other=0.0), 0)
    cuts = _cuts(low, high, ways)
    holds = (above < limit) & (cuts > low)
    return tl.max(tl.where(holds, low, cuts), 0), tl.min(tl.where(holds, cuts, high), 0)


@triton.jit
def _limit(wishes, sums, totals, row, blocks, is_mass: tl.constexpr, is_first: tl.constexpr,
           block_count: tl.constexpr, ways: tl.constexpr):  # fmt: skip
    """What may not lie above a floor, as far as it is known after a launch; inf where all may.
    With it the mass of all that top-k left: the first launch found it above its lowest cut.
    """
    total = 0.0
    if is_mass:
        if is_first:
            block = tl.arange(0, block_count)
            each = sums + (row * blocks + block) * ways
            total = tl.sum(tl.load(each, mask=block < blocks, other=0.0), 0)
        else:
            total = tl.load(totals + row)
        top_p = float_wish(wishes, row, _TOP_P)
        limit = tl.where(top_p < 1.0, top_p * total, float("inf"))
    else:
        top_k = tl.load(wishes + row * _WISHES + _TOP_K)
        limit = tl.where(top_k > 0, top_k.to(tl.float32), float("inf"))
    return limit, total


@triton.jit
def floor_of(
    wishes, bounds, sums, totals, row, blocks, is_mass: tl.constexpr, block_count: tl.constexpr,
    ways: tl.constexpr,
):  # fmt: skip
    """What the last launch of a search came to, as a score."""
    limit, _ = _limit(wishes, sums, totals, row, blocks, is_mass, False, block_count, ways)
    _, high = _narrowed(bounds, sums, limit, row, blocks, block_count, ways)
    floor = high.to(tl.int32)
    return (floor ^ ((floor >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)


@triton.jit
def search(
    logits, masks, wishes, bests, bounds_before, sums_before, totals_before, bounds, sums, totals,
    row_words, stride, vocab, blocks,
    is_mass: tl.constexpr, nth: tl.constexpr, was_mass: tl.constexpr, has_before: tl.constexpr,
    block_tokens: tl.constexpr, at_once: tl.constexpr, block_count: tl.constexpr,
    ways: tl.constexpr,
):  # fmt: skip
    """One cut into `ways`: sums [rows, blocks, ways] of what lies above each cut of a block. Every
    program works out the range from what the launch before has found, and one keeps it.
    """
    row, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    best = best_of(bests, row, blocks, block_count)
    low = tl.full((), _BELOW_ALL, tl.int64)
    high = _ordered(best).to(tl.int64)
    total = 0.0
    if has_before:
        limit, total = _limit(
            wishes, sums_before, totals_before, row, blocks, was_mass,
            was_mass and nth == 1, block_count, ways,
        )  # fmt: skip
        before = _narrowed(bounds_before, sums_before, limit, row, blocks, block_count, ways)
        if nth == 0:
            # The mass is that of what top-k left, and begins at its floor.
            low = before[1] - 1
        else:
            low, high = before
    if block == 0:
        tl.store(bounds + 2 * row, low)
        tl.store(bounds + 2 * row + 1, high)
        tl.store(totals + row, total)
    if is_mass:
        is_asked = float_wish(wishes, row, _TOP_P) < 1.0
    else:
        is_asked = tl.load(wishes + row * _WISHES + _TOP_K) > 0
    cuts = _cuts(low, high, ways).to(tl.int32)[None, :]
    above = tl.zeros((at_once, ways), tl.float32)
    # Of a row that asks for no such floor nothing is read: its limit is never reached.
    for first in range(0, tl.where(is_asked, block_tokens, 0), at_once):
        token = block * block_tokens + first + tl.arange(0, at_once)
        scaled, _ = scaled_scores(logits, masks, row_words, wishes, row, stride, token, vocab)
        weight = tl.exp(scaled - best) if is_mass else tl.full((at_once,), 1.0, tl.float32)
        is_above = _ordered(scaled)[:, None] > cuts
        above += tl.where(is_above, weight[:, None], 0.0)
    way = tl.arange(0, ways)
    tl.store(sums + (row * blocks + block) * ways + way, tl.sum(above, 0))


_BEST_KERNEL: Any = block_best
_SEARCH_KERNEL: Any = search


class Found(NamedTuple):
    """What the last launch of a search left, for `floor_of`."""

    bounds: torch.Tensor
    sums: torch.Tensor
    totals: torch.Tensor
    was_mass: bool


def blocks_of(vocab: int) -> tuple[int, int]:
    """How many blocks a row is cut into, and how many scores each has."""
    size = min(BLOCK_TOKENS, max(_TOKENS_AT_ONCE, 1 << (vocab - 1).bit_length()))
    return -(-vocab // size), size


def block_bests(logits: torch.Tensor, masks: torch.Tensor, wishes: torch.Tensor) -> torch.Tensor:
    """float32 [rows, blocks]: the largest score of each block, over the row's temperature."""
    rows, vocab = logits.shape
    blocks, size = blocks_of(vocab)
    bests = torch.empty(rows, blocks, dtype=torch.float32, device=logits.device)
    _BEST_KERNEL[(rows, blocks)](
        logits,
        masks,
        wishes,
        bests,
        masks.shape[1],
        logits.stride(0),
        vocab,
        blocks,
        size,
        num_warps=8,
    )
    return bests


def find_floors(
    logits: torch.Tensor,
    masks: torch.Tensor,
    wishes: torch.Tensor,
    bests: torch.Tensor,
    *,
    has_top_k: bool,
    has_top_p: bool,
) -> Found | None:
    """The floor of each row; where neither is asked for by any, there is nothing to look for."""
    rows = len(bests)
    blocks, size = blocks_of(logits.shape[1])
    before: Found | None = None
    for is_mass in [False] * has_top_k + [True] * has_top_p:
        for launch in range(LAUNCHES):
            found = Found(
                torch.empty(rows, 2, dtype=torch.int64, device=logits.device),
                torch.empty(rows, blocks, WAYS, dtype=torch.float32, device=logits.device),
                torch.empty(rows, dtype=torch.float32, device=logits.device),
                is_mass,
            )
            last = before or found
            _SEARCH_KERNEL[(rows, blocks)](
                logits, masks, wishes, bests, *last[:3], *found[:3],
                masks.shape[1], logits.stride(0), logits.shape[1], blocks,
                is_mass, min(launch, 2), last.was_mass, before is not None,
                size, _TOKENS_AT_ONCE, triton.next_power_of_2(blocks), WAYS,
            )  # fmt: skip
            before = found
    return before
