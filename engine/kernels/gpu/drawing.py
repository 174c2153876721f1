"""A token for each row of scores, drawn where the scores are, in Triton: as `sampler.py` draws it.

For the rows that most requests are: greedy, or by temperature with top-k, top-p and min-p, under a
grammar's mask or not. What a row asks for lies in a tensor, what comes out in another: the host
waits for nothing, and what is launched depends on no row's values. Noise is that of `noise.py`.
"""

# What is decorated is in a language of its own, without Python's types.
# pyright: basic, reportGeneralTypeIssues=false
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from ...sampler import SamplingRow
from ...sampling.wishes import (
    KEY_HIGH,
    KEY_LOW,
    LOG_MIN_P,
    NUM_WISHES,
    TEMPERATURE,
    RowWishes,
    Truncations,
    truncations_of,
    wishes_of,
)
from .floors import (
    WAYS,
    best_of,
    block_bests,
    blocks_of,
    find_floors,
    float_wish,
    floor_of,
    scaled_scores,
)

_TEMPERATURE = tl.constexpr(TEMPERATURE)
_LOG_MIN_P = tl.constexpr(LOG_MIN_P)
_KEY_LOW = tl.constexpr(KEY_LOW)
_KEY_HIGH = tl.constexpr(KEY_HIGH)
_WISHES = tl.constexpr(NUM_WISHES)
_NO_TOKEN = tl.constexpr(2**31 - 1)


@triton.jit
def gumbel(token, key_low, key_high):
    """The noise of tokens int32: see `noise.py`, whose shifts keep no sign either."""
    bits = token * -1640531527 ^ key_low
    bits ^= (bits >> 16) & 0xFFFF
    bits *= 0x7FEB352D
    bits ^= (bits >> 15) & 0x1FFFF
    bits += key_high
    bits *= -2073254261
    bits ^= (bits >> 16) & 0xFFFF
    uniform = (((bits >> 9) & 0x7FFFFF).to(tl.float32) + 0.5) * (2.0**-23)
    return -tl.log(-tl.log(uniform))


@triton.jit
def draw_in_block(
    logits, masks, wishes, bests, bounds, sums, totals, block_scores, block_tokens_drawn,
    row_words, stride, vocab, blocks,
    has_bests: tl.constexpr, has_floors: tl.constexpr, was_mass: tl.constexpr,
    block_tokens: tl.constexpr, block_count: tl.constexpr, ways: tl.constexpr,
):  # fmt: skip
    """The best noised score of a block and the first token that has it; inf where a score is no
    number: then none of the row can be believed.
    """
    row, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    token = block * block_tokens + tl.arange(0, block_tokens)
    score, is_bad = scaled_scores(logits, masks, row_words, wishes, row, stride, token, vocab)
    if float_wish(wishes, row, _TEMPERATURE) != 0.0:
        if has_bests:
            best = best_of(bests, row, blocks, block_count)
            floor = best + float_wish(wishes, row, _LOG_MIN_P)
            if has_floors:
                found = floor_of(
                    wishes, bounds, sums, totals, row, blocks, was_mass, block_count, ways
                )
                floor = tl.maximum(floor, found)
            score = tl.where(score < floor, float("-inf"), score)
        key_low = tl.load(wishes + row * _WISHES + _KEY_LOW)
        key_high = tl.load(wishes + row * _WISHES + _KEY_HIGH)
        score += gumbel(token, key_low, key_high)
    most = tl.max(score, 0)
    first = tl.min(tl.where(score == most, token, _NO_TOKEN), 0)
    to = row * blocks + block
    tl.store(block_scores + to, tl.where(is_bad != 0, float("inf"), most))
    tl.store(block_tokens_drawn + to, first)


@triton.jit
def first_of_blocks(block_scores, block_tokens_drawn, out, blocks, block_count: tl.constexpr):
    """out int64 [rows]: -1 where no score, or no number, won."""
    row = tl.program_id(0).to(tl.int64)
    block = tl.arange(0, block_count)
    is_block = block < blocks
    score = tl.load(block_scores + row * blocks + block, mask=is_block, other=float("-inf"))
    token = tl.load(block_tokens_drawn + row * blocks + block, mask=is_block, other=_NO_TOKEN)
    most = tl.max(score, 0)
    first = tl.min(tl.where(score == most, token, _NO_TOKEN), 0)
    is_sound = (most > float("-inf")) & (most < float("inf"))
    tl.store(out + row, tl.where(is_sound, first, -1).to(tl.int64))


_DRAW_KERNEL: Any = draw_in_block
_FIRST_KERNEL: Any = first_of_blocks


def draw_tokens(
    logits: torch.Tensor, masks: torch.Tensor, wishes: torch.Tensor, truncations: Truncations
) -> torch.Tensor:
    """Token ids int64 [rows], on the device; -1 where nothing can be drawn.

    logits float32 [rows, vocab], of which rows lie apart as they like; masks int32
    [masks, vocab / 32, rounded up]; wishes as `wishes_of` makes them, on the device.
    """
    rows, vocab = logits.shape
    blocks, size = blocks_of(vocab)
    bests = found = None
    if any(truncations):
        bests = block_bests(logits, masks, wishes)
        found = find_floors(
            logits, masks, wishes, bests,
            has_top_k=truncations.top_k, has_top_p=truncations.top_p,
        )  # fmt: skip
    scores = torch.empty(rows, blocks, dtype=torch.float32, device=logits.device)
    tokens = torch.empty(rows, blocks, dtype=torch.int32, device=logits.device)
    out = torch.empty(rows, dtype=torch.int64, device=logits.device)
    bounds, sums, totals, was_mass = found or (scores, scores, scores, False)
    block_count = triton.next_power_of_2(blocks)
    _DRAW_KERNEL[(rows, blocks)](
        logits, masks, wishes, scores if bests is None else bests, bounds, sums, totals, scores,
        tokens, masks.shape[1], logits.stride(0), vocab, blocks,
        bests is not None, found is not None, was_mass, size, block_count, WAYS, num_warps=8,
    )  # fmt: skip
    _FIRST_KERNEL[(rows,)](scores, tokens, out, blocks, block_count)
    return out


def draw_usual(logits: torch.Tensor, rows: Sequence[SamplingRow]) -> torch.Tensor:
    """`draw_tokens` for rows that are `is_usual`; see DrawUsual."""
    masks = [row.mask for row in rows if row.mask is not None]
    places = iter(range(len(masks)))
    told = [
        RowWishes(row.sampling, row.position, -1 if row.mask is None else next(places))
        for row in rows
    ]
    stacked = torch.stack(masks) if masks else torch.zeros(1, 1, dtype=torch.int32)
    truncations = truncations_of([row.sampling for row in rows])
    device = logits.device
    return draw_tokens(logits, stacked.to(device), wishes_of(told).to(device), truncations)
