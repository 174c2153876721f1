"""Which steps are so alike that one graph serves them all. Plain numbers.

Everything that the host decides of a step's launches is in its key: sizes, rounded up to a few
buckets, and which kernels are launched at all. All else the launches read on the device.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from ..sampling.wishes import Truncations
from .inputs import StepLayout

# Halves between the powers of two: no step is filled up by more than half.
_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
# Attention over a sequence is cut into parts of so many tokens on a GPU.
_PART_TOKENS = 256
# Of one sequence: up to a million tokens.
_PART_BUCKETS = (*_BUCKETS, 768, 1024, 1536, 2048, 3072, 4096)
# What partial sums of attention may take of a graph's memory. In longer steps launches are the
# smaller part.
_SUMS_BYTES = 256 << 20
# Rows times parts, however small their sums: so many are told of at most.
_MOST_PARTS = 16_384


@dataclass(frozen=True, slots=True)
class StepKey:
    """`truncations` None: no tokens are drawn. `keeps_scores`: somebody draws from them later."""

    num_rows: int
    num_pages: int
    truncations: Truncations | None
    keeps_scores: bool

    @property
    def layout(self) -> StepLayout:
        return StepLayout(self.num_rows, self.num_pages, self.truncations is not None)


def bucket(count: int, buckets: tuple[int, ...] = _BUCKETS) -> int | None:
    """The least that is no less; None beyond all of them."""
    place = bisect_left(buckets, count)
    return buckets[place] if place < len(buckets) else None


def most_parts(num_heads: int, head_dim: int) -> int:
    """How many rows times parts a step may have that becomes a graph. Of each part and head its
    largest score, the sum of its weights, and that of its values are kept, in float32.
    """
    return min(_MOST_PARTS, _SUMS_BYTES // (num_heads * (head_dim + 2) * 4))


def padded(key: StepKey, page_tokens: int, most_parts: int) -> StepKey | None:
    """The key of the graph that serves a step with this one; None where none should."""
    num_rows = bucket(key.num_rows)
    num_parts = bucket(-(-key.num_pages * page_tokens // _PART_TOKENS), _PART_BUCKETS)
    if num_rows is None or num_parts is None or num_rows * num_parts > most_parts:
        return None
    num_pages = -(-num_parts * _PART_TOKENS // page_tokens)
    return StepKey(num_rows, num_pages, key.truncations, key.keeps_scores)


def most_numbers(most_rows: int, page_tokens: int, most_parts: int) -> int:
    """How many numbers are told at most to a step that a graph serves."""
    num_rows = bucket(most_rows) or _BUCKETS[-1]
    num_pages = -(-most_parts * _PART_TOKENS // page_tokens)
    return StepLayout(num_rows, 0, draws=True).size + num_pages
