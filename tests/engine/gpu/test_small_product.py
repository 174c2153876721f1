"""Products of few rows by Triton, and a model whose linear layers are computed by them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from cortex.engine.kernels.gpu import products
from cortex.engine.kernels.gpu.choosing import Times, TimesFile
from cortex.engine.kernels.gpu.complaint import tell_once
from cortex.engine.kernels.gpu.products import GpuLinear, GpuPacker, gpu_packer, measured
from cortex.engine.kernels.gpu.small_product import part_inputs, small_product
from cortex.engine.models import registry
from cortex.engine.models.registry import load_model, make_packer

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@settings(max_examples=8, deadline=None)
@given(
    rows=st.integers(1, 16), out_features=st.sampled_from([1, 48, 130]),
    in_features=st.sampled_from([8, 136, 1000, 2048]), has_bias=st.booleans(),
    dtype=st.sampled_from([torch.bfloat16, torch.float32]), seed=st.integers(0, 999),
)  # fmt: skip
def test_a_product_is_torchs_and_a_row_the_same_in_any_company(
    rows: int, out_features: int, in_features: int, has_bias: bool, dtype: torch.dtype, seed: int
) -> None:
    source = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=source).to(dtype)

    x, weight = draw(rows, in_features), draw(out_features, in_features)
    bias = draw(out_features) if has_bias else None

    y = small_product(x, weight, bias)

    expected = functional.linear(
        x.double(), weight.double(), None if bias is None else bias.double()
    )
    tolerance = 1e-2 if dtype == torch.bfloat16 else 1e-5
    assert y.dtype == dtype
    torch.testing.assert_close(
        y.double(), expected, rtol=tolerance, atol=tolerance * in_features**0.5
    )
    assert torch.equal(small_product(x[-1:], weight, bias), y[-1:])


@given(out_features=st.integers(1, 300_000), in_features=st.integers(1, 40_000))
def test_parts_are_cut_by_the_shape_of_a_weight_and_cover_it(
    out_features: int, in_features: int
) -> None:
    part = part_inputs(out_features, in_features)

    assert part % 128 == 0
    assert part >= min(512, in_features)
    parts, tiles = -(-in_features // part), -(-out_features // 32)
    # Cut only where that is needed to have work for all processors.
    assert parts == 1 or tiles * -(-in_features // (2 * part)) < 256


def fail(*_: object) -> NoReturn:
    raise RuntimeError("no such architecture")


def plus_one(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return functional.linear(x, weight, bias) + 1


def in_turn(*times_us: float) -> Callable[[torch.device, Callable[[], object]], float]:
    told = iter(times_us)

    def time_us(device: torch.device, work: Callable[[], object]) -> float:
        work()
        return next(told)

    return time_us


def test_both_ways_are_timed() -> None:
    weight = torch.randn(48, 64).bfloat16()

    assert measured(small_product, weight, 2, in_turn(9.0, 4.0)) == Times(9.0, 4.0)


def test_a_kernel_that_is_wrong_is_never_the_quicker(caplog: pytest.LogCaptureFixture) -> None:
    weight = torch.eye(64).bfloat16()

    with caplog.at_level(logging.WARNING):
        times = measured(plus_one, weight, 2, in_turn(9.0, 4.0))

    assert times is not None and times.library_us == 9.0
    assert times.ours_us > 1e9
    assert "differs from torch's" in caplog.text


@pytest.mark.parametrize(
    ("multiply", "time_us"), [(fail, in_turn(9.0, 4.0)), (small_product, fail)]
)
def test_a_measurement_that_fails_says_so_and_nothing_of_which_is_the_quicker(
    multiply: products.Multiply,
    time_us: Callable[[torch.device, Callable[[], object]], float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    tell_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert measured(multiply, torch.eye(64).bfloat16(), 2, time_us) is None
        assert measured(fail, torch.eye(32).bfloat16(), 2, in_turn(9.0)) is None

    assert caplog.text.count("torch's do instead: no such architecture") == 1


def test_a_layer_computes_our_way_for_its_rows_alone() -> None:
    weight, bias = torch.randn(48, 64).bfloat16(), torch.randn(48).bfloat16()
    layer = GpuLinear(weight, bias, frozenset({2, 3}), plus_one)
    x = torch.randn(3, 1, 64).bfloat16()

    plain = functional.linear(x, weight, bias)
    assert torch.equal(layer(x), plain + 1)
    assert torch.equal(layer(x[:2]), plain[:2] + 1)
    assert torch.equal(layer(x[0]), plain[0])


def test_a_gpus_model_is_packed_in_bfloat16_unless_torchs_kernels_are_wished_for() -> None:
    assert isinstance(make_packer(torch.bfloat16, CUDA, exact=False, kernels="auto"), GpuPacker)
    assert make_packer(torch.bfloat16, CUDA, exact=False, kernels="torch") is None
    assert make_packer(torch.float32, CUDA, exact=False, kernels="auto") is None
    assert make_packer(torch.bfloat16, torch.device("mps"), exact=False, kernels="auto") is None


def test_without_triton_linear_layers_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        assert name == "triton"

    monkeypatch.setattr(products, "find_spec", nothing)

    assert gpu_packer(torch.bfloat16) is None


def test_a_packed_model_scores_as_before_and_each_shape_is_measured_once(
    golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact, plain = (
        load_model(golden / "qwen3", dtype, CPU, kernels="torch").model
        for dtype in (torch.float32, torch.bfloat16)
    )
    shapes: list[tuple[int, torch.Size]] = []

    def measure(weight: torch.Tensor, rows: int) -> Times:
        shapes.append((rows, weight.shape))
        return Times(2.0, 1.0)

    def packer(*_: object, **__: object) -> GpuPacker:
        return GpuPacker(small_product, measure, lambda weight: TimesFile(tmp_path, ()))

    monkeypatch.setattr(registry, "make_packer", packer)
    model = load_model(golden / "qwen3", torch.bfloat16, CPU).model
    positions = torch.arange(5).expand(3, 1, 5)

    with torch.inference_mode():
        token_ids = torch.tensor([3, 1, 4, 1, 5])
        ours, theirs, right = (
            m.logits(m(m.embed(token_ids)[None], positions)[0]).float()
            for m in (model, plain, exact)
        )

    assert len(shapes) == len(set(shapes)) > 5
    assert not [m for m in model.modules() if type(m) is nn.Linear]
    # As near to the right scores as bfloat16 comes.
    assert (ours - right).norm() < 1.2 * (theirs - right).norm()
