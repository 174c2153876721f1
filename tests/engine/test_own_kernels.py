"""Our own kernels compute what torch does, one row like many, and are doubted where they do not."""

from __future__ import annotations

import logging
import os
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.engine.attention.tables import StepTables
from cortex.engine.cache.place import Place
from cortex.engine.cache.pools import PooledMemory, Pools
from cortex.engine.kernels import compiling, library, own
from cortex.engine.kernels.compiling import NotCompiled, compiled
from cortex.engine.kernels.library import Library
from cortex.engine.kernels.native import NativeOperations
from cortex.engine.kernels.own import own_kernels
from cortex.engine.kernels.panels import PanelLinear
from cortex.engine.kernels.trial import differences
from cortex.engine.layers.gated_delta import DeltaInputs, DeltaWeights, LinearState
from cortex.engine.layers.operations import PLAIN, NormWeights, Operations, Turn
from cortex.engine.models.memory import AttentionShape, MemoryShape

DTYPES = (torch.float32, torch.bfloat16)


def kernels(dtype: torch.dtype) -> Library:
    found = own_kernels(dtype)
    if found is None:
        pytest.skip("this machine has no kernels of our own")
    return found


def draw(*shape: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_operation_computes_what_torchs_does(dtype: torch.dtype) -> None:
    assert differences(kernels(dtype)) == []


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 70), size=st.integers(2, 90), dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 99), data=st.data(),
)  # fmt: skip
def test_a_row_has_the_same_bits_in_any_company(
    rows: int, size: int, dtype: torch.dtype, seed: int, data: st.DataObject
) -> None:
    operations = NativeOperations(kernels(dtype))
    norm = NormWeights(draw(size, dtype=dtype, seed=seed + 1), 1.0, 1e-6)
    x = draw(rows, 1, 2 * size, dtype=dtype, seed=seed)
    gate, up = x.chunk(2, dim=-1)
    one = data.draw(st.integers(0, rows - 1))
    alone = slice(one, one + 1)

    normed, mixed = operations.rms_norm(gate, norm), operations.silu_times(gate, up)

    assert torch.equal(normed[alone], operations.rms_norm(gate[alone], norm))
    assert torch.equal(mixed[alone], operations.silu_times(gate[alone], up[alone]))
    tolerance = 2e-2 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(normed, PLAIN.rms_norm(gate, norm), rtol=tolerance, atol=tolerance)


@settings(max_examples=25, deadline=None)
@given(
    tokens=st.integers(2, 150), cut=st.integers(1, 149), heads=st.sampled_from([(4, 2), (3, 1)]),
    dim=st.sampled_from([16, 36, 128]), dtype=st.sampled_from(DTYPES),
)  # fmt: skip
def test_a_token_attends_alike_however_its_prompt_is_cut(
    tokens: int, cut: int, heads: tuple[int, int], dim: int, dtype: torch.dtype
) -> None:
    operations = NativeOperations(kernels(dtype))
    cut = min(cut, tokens - 1)
    num_heads, kv_heads = heads
    shape = MemoryShape({0: AttentionShape(kv_heads, dim)}, {})
    q = draw(1, tokens, num_heads, dim, dtype=dtype)
    k, v = draw(2, 1, tokens, kv_heads, dim, dtype=dtype, seed=1)

    def attended(operations: Operations, ends: list[int]) -> torch.Tensor:
        pools = Pools(
            shape, dtype, torch.device("cpu"), num_pages=10, page_tokens=16, num_slots=1,
            operations=operations,
        )  # fmt: skip
        place = Place([3, 1, 4, 0, 5, 9, 2, 6, 8, 7], slot=0)
        outs: list[torch.Tensor] = []
        for end in ends:
            now = slice(place.num_tokens, end)
            memory = PooledMemory(pools, [place], end - place.num_tokens)
            still = torch.tensor([1.0, 0.0], dtype=dtype).view(2, 1, 1, 1, 1)
            cos, sin = still.expand(2, 1, end - now.start, 1, 2)
            turn = Turn(None, None, cos, sin)
            outs.append(memory.attend(0, q[:, now], k[:, now], v[:, now], turn, 0.3))
            place.num_tokens = end
        return torch.cat(outs, dim=1)

    whole = attended(operations, [tokens])

    if cut > 1 and tokens - cut > 1:  # a single token is attended to as an answer's next one is
        assert torch.equal(attended(operations, [cut, tokens]), whole)
    tolerance = 2e-2 if dtype == torch.bfloat16 else 1e-4
    torch.testing.assert_close(whole, attended(PLAIN, [tokens]), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sequence_steps_through_the_delta_rule_as_it_would_alone(dtype: torch.dtype) -> None:
    operations = NativeOperations(kernels(dtype))
    heads, dim, channels = 4, 16, 2 * 2 * 16 + 4 * 16
    weights = DeltaWeights(
        draw(channels, 4, dtype=dtype), draw(heads, dtype=torch.float32),
        draw(heads, dtype=dtype), draw(dim, dtype=torch.float32), 1e-6, 2, heads, dim, dim,
    )  # fmt: skip
    joined = draw(5, 1, channels + heads * dim + 2 * heads, dtype=dtype)

    def step(which: slice) -> tuple[torch.Tensor, LinearState]:
        ends = (channels, channels + heads * dim, channels + heads * dim + heads)
        inputs = DeltaInputs(*joined[which].tensor_split(ends, dim=-1))
        conv = draw(5, 3, channels, dtype=dtype)[which].clone()
        recurrent = draw(5, heads, dim, dim, dtype=torch.float32)[which].clone()
        return operations.gated_delta_mix(weights, inputs, LinearState(conv, recurrent))

    out, after = step(slice(None))
    for i in range(5):
        one, one_after = step(slice(i, i + 1))
        assert torch.equal(one[0], out[i])
        assert torch.equal(one_after.conv[0], after.conv[i])
        assert torch.equal(one_after.recurrent[0], after.recurrent[i])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_delta_rule_takes_a_prompt_as_it_takes_its_tokens(dtype: torch.dtype) -> None:
    operations = NativeOperations(kernels(dtype))
    heads, dim, channels = 2, 16, 4 * 16 + 2 * 16
    weights = DeltaWeights(
        draw(channels, 4, dtype=dtype), draw(heads, dtype=torch.float32),
        draw(heads, dtype=dtype), draw(dim, dtype=torch.float32), 1e-6, 2, heads, dim, dim,
    )  # fmt: skip
    joined = draw(1, 9, channels + heads * dim + 2 * heads, dtype=dtype)
    ends = (channels, channels + heads * dim, channels + heads * dim + heads)

    def through(cuts: list[int]) -> tuple[torch.Tensor, LinearState]:
        conv = torch.zeros(1, 3, channels, dtype=dtype)
        state = LinearState(conv, torch.zeros(1, heads, dim, dim))
        outs: list[torch.Tensor] = []
        for start, end in pairwise(cuts):
            inputs = DeltaInputs(*joined[:, start:end].tensor_split(ends, dim=-1))
            out, state = operations.gated_delta_mix(weights, inputs, state)
            outs.append(out)
        return torch.cat(outs, dim=1), state

    whole, after = through([0, 9])
    pieces, after_pieces = through([0, 1, 3, 4, 9])

    assert torch.equal(pieces, whole)
    assert torch.equal(after_pieces.conv, after.conv)
    assert torch.equal(after_pieces.recurrent, after.recurrent)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_no_number_is_not_turned_into_one(dtype: torch.dtype) -> None:
    operations = NativeOperations(kernels(dtype))
    x = torch.full((1, 40), float("nan"), dtype=dtype)

    assert operations.silu_times(x, torch.ones_like(x)).isnan().all()


def test_what_must_be_differentiated_is_left_to_torch() -> None:
    operations = NativeOperations(kernels(torch.float32))
    x = draw(3, 8, dtype=torch.float32).requires_grad_()

    operations.rms_norm(x, NormWeights(torch.ones(8), 0.0, 1e-6)).sum().backward()

    assert x.grad is not None


def test_compiled_once_they_are_found_again(tmp_path: Path) -> None:
    kernels(torch.float32)
    folder = Path(library.__file__).with_name("c")

    first = compiled(folder, (), tmp_path)
    written = first.stat().st_mtime_ns

    assert compiled(folder, (), tmp_path) == first and first.stat().st_mtime_ns == written
    assert compiled(folder, ("BFLOAT16",), tmp_path) != first
    assert sorted(os.listdir(tmp_path)) == sorted(p.name for p in tmp_path.glob("kernels-*.so"))


def test_a_cache_that_others_may_write_into_is_not_believed(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    with pytest.raises(NotCompiled, match=r"others may write|is installed"):
        compiled(Path(library.__file__).with_name("c"), (), tmp_path)


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_number_of_threads_gives_the_same_bits(dtype: torch.dtype) -> None:
    found = kernels(dtype)
    if not found.panel_rows:
        pytest.skip("this machine has no products of our own")
    x, weight = draw(61, 300, dtype=dtype), draw(700, 300, dtype=dtype, seed=1)
    gate = draw(300, 1, 256, dtype=dtype)
    norm = NormWeights(draw(256, dtype=dtype), 0.0, 1e-6)
    tables = StepTables([[3, 1, 2], [0, 4]], [180, 90], 1, 64, torch.device("cpu"))
    q, (k, v) = draw(2, 1, 8, 128, dtype=dtype), draw(2, 2, 1, 4, 128, dtype=dtype)
    keys, values = draw(2, 320, 4, 128, dtype=dtype)

    def computed() -> list[torch.Tensor]:
        operations = NativeOperations(found)
        return [
            PanelLinear(found, weight, None)(x),
            operations.rms_norm(gate, norm),
            operations.attend(q, k, v, keys.clone(), values.clone(), tables, 0.1),
        ]

    alone = computed()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        together = computed()
    finally:
        torch.set_num_threads(before)

    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_without_a_compiler_there_are_none_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "_COMPILERS", ("no-such-compiler",))

    with pytest.raises(NotCompiled, match="none of no-such-compiler is installed"):
        compiled(tmp_path, (), tmp_path)


def test_what_the_compiler_cannot_make_is_told_in_its_last_words(tmp_path: Path) -> None:
    kernels(torch.float32)
    source = tmp_path / "source"
    source.mkdir()
    (source / "broken.c").write_text("#error this is broken\n")

    with pytest.raises(NotCompiled, match=r"failed.*this is broken"):
        compiled(source, (), tmp_path / "cache")

    assert list((tmp_path / "cache").iterdir()) == []


def test_kernels_that_compute_something_else_are_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kernels(torch.float32)

    def rms_norm_differs(library: Library) -> list[str]:
        return ["rms_norm"]

    monkeypatch.setattr(own, "differences", rms_norm_differs)
    own_kernels.cache_clear()

    with caplog.at_level(logging.WARNING):
        assert own_kernels(torch.float32) is None

    own_kernels.cache_clear()
    assert "rms_norm" in caplog.text


def test_a_wrong_operation_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = kernels(torch.float32)

    def times(self: NativeOperations, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        return gate * up

    monkeypatch.setattr(NativeOperations, "silu_times", times)

    assert differences(found) == ["silu_times of 36", "silu_times of 130", "silu_times of 5120"]
