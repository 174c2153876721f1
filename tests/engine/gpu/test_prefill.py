"""A prompt's chunk is attended to by torch's varlen_attn where that serves."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch.nn.attention import varlen as torchs

from cortex.engine.attention.dense import causal_attention
from cortex.engine.attention.tables import StepTables
from cortex.engine.kernels.gpu.operations import TritonOperations
from cortex.engine.kernels.gpu.prefill import can_flash, chunk_attention, found_varlen
from tests.engine.calls import TOLD, Calls

HEADS, KV_HEADS, DIM, PAGE_TOKENS = 4, 2, 64, 16


class Varlen:
    """As torch documents varlen_attn, for one causal sequence; what was given lies in `keys`."""

    def __init__(self) -> None:
        self.keys: list[torch.Tensor] = []

    def __call__(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, cu_seq_q: torch.Tensor,
        cu_seq_k: torch.Tensor, max_q: int, max_k: int, *, scale: float,
        window_size: tuple[int, int],
    ) -> torch.Tensor:  # fmt: skip
        assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
        assert cu_seq_q.tolist() == [0, len(query)] == [0, max_q]
        assert cu_seq_k.tolist() == [0, len(key)] == [0, max_k]
        assert window_size == (-1, 0)
        self.keys.append(key)
        return causal_attention(query[None], key[None], value[None], scale)[0]


def attended(
    operations: TritonOperations, pages: list[int], dtype: torch.dtype, num_new: int = 70
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the last `num_new` of 100 tokens make of them, and the pool of all keys."""
    source = torch.Generator().manual_seed(0)
    q = torch.randn(1, num_new, HEADS, DIM, generator=source).to(dtype)
    keys, values = torch.randn(2, 10 * PAGE_TOKENS, KV_HEADS, DIM, generator=source).to(dtype)
    tables = StepTables([pages], [100], num_new, PAGE_TOKENS, torch.device("cpu"))
    return operations.attend_kept(q, keys, values, tables, 0.1), keys


@pytest.mark.parametrize("pages", [[2, 3, 4, 5, 6, 7, 8], [2, 9, 1, 0, 5, 4, 3]])
def test_a_chunk_is_torchs_to_attend_to_and_keys_that_follow_on_are_not_copied(
    pages: list[int], operations: TritonOperations
) -> None:
    varlen = Varlen()

    out, keys = attended(TritonOperations(varlen, None), pages, torch.bfloat16)

    expected, _ = attended(operations, pages, torch.bfloat16)
    torch.testing.assert_close(out, expected)
    (given,) = varlen.keys
    follow_on = pages == sorted(pages)
    assert (given.data_ptr() == keys[pages[0] * PAGE_TOKENS :].data_ptr()) == follow_on


@pytest.mark.parametrize(("dtype", "num_new"), [(torch.float32, 70), (torch.bfloat16, 3)])
def test_what_it_does_not_serve_or_is_a_step_goes_elsewhere(
    dtype: torch.dtype, num_new: int, operations: TritonOperations
) -> None:
    varlen = Varlen()

    out, _ = attended(TritonOperations(varlen, None), [2, 9, 1, 0, 5, 4, 3], dtype, num_new)

    assert varlen.keys == []
    torch.testing.assert_close(out, attended(operations, [2, 9, 1, 0, 5, 4, 3], dtype, num_new)[0])


@pytest.mark.parametrize("num_new", [1, 70, 100])
def test_no_layer_tells_the_device_where_a_chunk_ends(num_new: int) -> None:
    def ends(*given: Any, **_: Any) -> torch.Tensor:
        return torch.stack(given[3:5])

    q, k = torch.ones(1, num_new, 1, 64), torch.ones(100, 1, 64)
    with Calls() as calls:
        told = chunk_attention(ends, q, k, k, 0.1)

    assert told[0].tolist() == [[0, num_new], [0, 100]]
    assert not calls.counted.keys() & TOLD


def test_heads_larger_than_its_largest_are_known() -> None:
    assert can_flash(torch.empty(1, 1, 1, 256, dtype=torch.bfloat16))
    assert not can_flash(torch.empty(1, 1, 1, 288, dtype=torch.bfloat16))
    assert not can_flash(torch.empty(1, 1, 1, 36, dtype=torch.bfloat16))


def test_torchs_is_asked_where_a_token_can_see_those_before_it_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def oldest(query: Any, key: Any, value: Any, *, is_causal: bool = False) -> Any: ...

    def older(query: Any, key: Any, value: Any, *, scale: Any, window_size: Any) -> Any: ...

    ours = found_varlen()
    assert isinstance(ours, partial) and ours.func is torchs.varlen_attn
    assert ours.keywords == {"enable_gqa": True}
    for known, found in ((older, older), (oldest, None)):
        monkeypatch.setattr("cortex.engine.kernels.gpu.prefill.varlen_attn", known)
        assert found_varlen() is found
