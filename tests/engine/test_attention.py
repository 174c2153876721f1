"""Attention by any of its ways is the sum that the formula says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.engine.attention.dense import causal_attention
from cortex.engine.attention.tables import StepTables, page_rows
from cortex.engine.cache.place import Place
from cortex.engine.cache.pools import PooledMemory, Pools
from cortex.engine.kernels.native import NativeOperations
from cortex.engine.kernels.own import own_kernels
from cortex.engine.layers.operations import PLAIN, Turn
from cortex.engine.models.memory import AttentionShape, MemoryShape


def still(sequences: int) -> Turn:
    """For one token of each sequence: no head is normed, and none turned."""
    cos, sin = torch.tensor([1.0, 0.0]).repeat_interleave(sequences * 2).view(2, sequences, 1, 1, 2)
    return Turn(None, None, cos, sin)


def written_out(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
    """Softmax over the positions that each query may see, one query and head at a time."""
    tokens, positions, heads = q.shape[1], k.shape[1], q.shape[2]
    out = torch.empty_like(q)
    for token in range(tokens):
        seen = positions - tokens + token + 1
        for head in range(heads):
            shared = head * k.shape[2] // heads
            scores = k[0, :seen, shared] @ q[0, token, head] * scale
            out[0, token, head] = scores.softmax(0) @ v[0, :seen, shared]
    return out


@settings(max_examples=60, deadline=None)
@given(
    tokens=st.integers(1, 6),
    history=st.integers(0, 40),
    heads=st.sampled_from([(1, 1), (4, 2), (6, 1)]),
    seed=st.integers(0, 1000),
)
def test_queries_see_themselves_and_all_before_them(
    tokens: int, history: int, heads: tuple[int, int], seed: int
) -> None:
    source = torch.Generator().manual_seed(seed)
    num_heads, kv_heads = heads
    q = torch.randn(1, tokens, num_heads, 8, generator=source)
    k, v = torch.randn(2, 1, history + tokens, kv_heads, 8, generator=source)

    torch.testing.assert_close(causal_attention(q, k, v, 0.3), written_out(q, k, v, 0.3))


@pytest.mark.parametrize("history_score", [-300.0, 300.0])
def test_scores_far_apart_in_history_and_chunk_lose_nothing(history_score: float) -> None:
    q = torch.ones(1, 2, 2, 8)
    k, v = torch.zeros(2, 1, 12, 1, 8)
    k[:, :10] = history_score / 8
    v[:, :10] = 1.0

    out = causal_attention(q, k, v, 1.0)

    torch.testing.assert_close(out, torch.full_like(q, float(history_score > 0)))


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 150), min_size=2, max_size=5),
    seed=st.integers(0, 1000),
    kernels=st.sampled_from(["torch", "own"]),
)
def test_sequences_that_decode_together_see_their_own_positions_alone(
    lengths: list[int], seed: int, kernels: str
) -> None:
    library = own_kernels(torch.float32)
    operations = NativeOperations(library) if library and kernels == "own" else PLAIN
    source = torch.Generator().manual_seed(seed)
    shape = MemoryShape({0: AttentionShape(2, 8)}, {})
    # Pages of sixteen tokens, dealt out in turn: no sequence's rows follow each other.
    pages = [[i + len(lengths) * n for n in range(10)] for i in range(len(lengths))]
    pools = Pools(
        shape, torch.float32, torch.device("cpu"), num_pages=10 * len(lengths), page_tokens=16,
        num_slots=len(lengths), operations=operations,
    )  # fmt: skip
    keys, values = pools.keys_values[0]
    for pool in (keys, values):
        pool.copy_(torch.randn(pool.shape, generator=source))
    q = torch.randn(len(lengths), 1, 4, 8, generator=source)
    k, v = torch.randn(2, len(lengths), 1, 2, 8, generator=source)
    places = [
        Place(own, i, length) for i, (own, length) in enumerate(zip(pages, lengths, strict=True))
    ]

    together = PooledMemory(pools, places, 1).attend(0, q, k, v, still(len(lengths)), 0.3)

    for i, place in enumerate(places):
        one = slice(i, i + 1)
        alone = PooledMemory(pools, [place], 1).attend(0, q[one], k[one], v[one], still(1), 0.3)
        rows = pools.rows(place.pages, 0, place.num_tokens + 1)
        expected = written_out(q[one], keys[rows][None], values[rows][None], 0.3)
        assert torch.equal(alone, together[one])
        torch.testing.assert_close(together[one], expected)


class Counted(list[int]):
    """Pages, and how often one of them was read by itself."""

    num_read = 0

    def __getitem__(self, at: Any) -> Any:
        self.num_read += isinstance(at, int)
        plain: Any = super()
        return plain.__getitem__(at)


@given(pages=st.permutations(range(8)), ends=st.tuples(st.integers(0, 128), st.integers(0, 128)))
def test_rows_of_pages_in_any_order_are_found_without_reading_a_page_for_each_token(
    pages: list[int], ends: tuple[int, int]
) -> None:
    start, end = sorted(ends)
    counted = Counted(pages)

    rows = page_rows(counted, start, end, 16, torch.device("cpu"))

    tokens = torch.arange(200)[rows]
    assert tokens.tolist() == [pages[i // 16] * 16 + i % 16 for i in range(start, end)]
    tables = StepTables([counted], [max(end, 1)], 1, 16, torch.device("cpu"))
    assert torch.arange(200)[tables.rows[0]][start:].tolist()[: end - start] == tokens.tolist()
    assert counted.num_read <= 2 * len(pages)
