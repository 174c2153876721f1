"""Packed layers compute what plain ones do, a row's bits are its own, no weight is held twice."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from cortex.engine.kernels.linear import (
    CpuLinear,
    LinearPacker,
    can_pack,
    plain_product,
    replace_linears,
)
from cortex.engine.kernels.own import own_kernels
from cortex.engine.kernels.panels import PanelEmbedding, PanelLinear
from cortex.engine.kernels.row_rule import Product, RowRule, exact_rule

# (in, out): one whose lone row oneDNN sums in another order, and the odd sizes of small models.
SHAPES = [(2048, 1024), (256, 4), (640, 256), (256, 320), (37, 5)]
MAX_ROWS = 96
# Where no compiler is, both are torch's.
KERNELS = ("own", "torch")


def linear(in_features: int, out_features: int, dtype: torch.dtype, bias: bool) -> nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(in_features * out_features)
        return nn.Linear(in_features, out_features, bias).to(dtype).requires_grad_(False)


def rows(count: int, in_features: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, in_features, generator=torch.Generator().manual_seed(seed)).to(dtype)


def packed(plain: nn.Linear, kernels: str, *, exact: bool) -> CpuLinear | PanelLinear:
    library = own_kernels(plain.weight.dtype) if kernels == "own" else None
    layer = LinearPacker(exact, library).packed(plain.weight, plain.bias)
    assert layer is not None
    return layer


@pytest.fixture(scope="module", params=KERNELS)
def exact(request: pytest.FixtureRequest) -> dict[tuple[int, int], nn.Module]:
    return {
        shape: packed(linear(*shape, torch.float32, True), request.param, exact=True)
        for shape in SHAPES
    }


@settings(max_examples=150, deadline=None)
@given(data=st.data(), shape=st.sampled_from(SHAPES), seed=st.integers(0, 2**31))
def test_any_row_of_any_batch_is_that_row_alone_bit_for_bit(
    exact: dict[tuple[int, int], nn.Module], data: st.DataObject, shape: tuple[int, int], seed: int
) -> None:
    count = data.draw(st.integers(1, MAX_ROWS))
    row = data.draw(st.integers(0, count - 1))
    x = rows(count, shape[0], torch.float32, seed)

    together = exact[shape](x)

    assert torch.equal(together[row], exact[shape](x[row : row + 1])[0])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(), (1,), (3,), (2, 5), (1, 70), (0,), (2, 0)])
@pytest.mark.parametrize("kernels", KERNELS)
def test_a_packed_layer_computes_what_the_plain_one_does(
    shape: tuple[int, int], bias: bool, dtype: torch.dtype, size: tuple[int, ...], kernels: str
) -> None:
    plain = linear(*shape, dtype, bias)
    x = torch.randn(*size, shape[0], generator=torch.Generator().manual_seed(1)).to(dtype)

    y = packed(plain, kernels, exact=False)(x)

    assert y.shape == (*size, shape[1]) and y.dtype == dtype
    tolerance = 2e-2 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(y, plain(x), rtol=tolerance, atol=tolerance)


def test_only_linear_layers_are_replaced() -> None:
    model = nn.Sequential(nn.Embedding(9, 8), nn.ModuleList([nn.Linear(8, 8)]), nn.LayerNorm(8))

    replace_linears(model, LinearPacker(exact=True).packed)

    kinds = [type(m).__name__ for m in model.modules()]
    assert kinds == ["Sequential", "Embedding", "ModuleList", "CpuLinear", "LayerNorm"]


def test_a_dtype_that_cannot_be_packed_stays_plain_and_exact_mode_still_holds() -> None:
    assert not can_pack(torch.float64)
    plain = linear(300, 40, torch.float64, True)
    x = rows(20, 300, torch.float64)

    assert LinearPacker(exact=False).packed(plain.weight, plain.bias) is None
    ruled = packed(plain, "own", exact=True)

    torch.testing.assert_close(ruled(x), plain(x))
    assert all(torch.equal(ruled(x)[i], ruled(x[i : i + 1])[0]) for i in range(20))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_rows_of_a_tied_head_are_looked_up_bit_for_bit(dtype: torch.dtype) -> None:
    library = own_kernels(dtype)
    if library is None or not library.panel_rows:
        pytest.skip("this machine has no products of our own")
    weight = rows(150, 36, dtype)
    token_ids = torch.tensor([[0, 149, 64], [63, 65, 7]])

    embedded = PanelEmbedding(PanelLinear(library, weight, None))(token_ids)

    assert torch.equal(embedded, weight[token_ids])


def jumpy(threshold: int) -> Product:
    """A product that tells how many rows it got, up to a threshold."""

    def product(x: torch.Tensor) -> torch.Tensor:
        count = x.shape[0]
        return x + min(count, threshold)

    return product


def last_row_differs(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x[:-1], x[-1:] + (x.shape[0] > 1)])


@pytest.mark.parametrize(
    ("product", "rule"),
    [
        (jumpy(1), RowRule()),
        (jumpy(2), RowRule(2)),
        (jumpy(3), RowRule(4)),
        (jumpy(16), RowRule(16)),
        (jumpy(1000), RowRule(block_rows=16)),
        (last_row_differs, RowRule(block_rows=1)),
    ],
)
def test_the_cheapest_rule_that_holds_is_found(product: Product, rule: RowRule) -> None:
    found = exact_rule(product, 7, torch.float32)

    assert found == rule
    x = rows(70, 7, torch.float32)
    alone = torch.cat([found.apply(x[i : i + 1], product) for i in range(70)])
    assert torch.equal(found.apply(x, product), alone)


def test_padding_that_costs_nothing_is_kept_by_every_rule() -> None:
    assert exact_rule(jumpy(1), 7, torch.float32, at_least_rows=4) == RowRule(4)
    assert exact_rule(jumpy(6), 7, torch.float32, at_least_rows=4) == RowRule(8)


@given(count=st.integers(0, 70), least=st.integers(1, 20), block=st.none() | st.integers(1, 20))
def test_a_rule_loses_and_adds_no_rows(count: int, least: int, block: int | None) -> None:
    weight = torch.arange(21.0).reshape(3, 7)
    x = torch.arange(7.0 * count).reshape(count, 7)

    assert torch.equal(
        RowRule(least, block).apply(x, plain_product(weight, None)), functional.linear(x, weight)
    )


PEAK = """
import torch
from torch import nn
from cortex.engine.kernels.linear import LinearPacker, replace_linears
from cortex.engine.kernels.own import own_kernels

def anonymous_bytes():
    with open("/proc/self/status") as status:
        return next(int(l.split()[1]) for l in status if l.startswith("RssAnon")) * 1024

torch.set_num_threads(1)
packer = LinearPacker(True, own_kernels(torch.float32) if {own} else None)
warm = nn.ModuleList([nn.Linear(512, 512)])
replace_linears(warm, packer.packed)
before = anonymous_bytes()
model = nn.ModuleList(nn.Linear(1024, 2048, bias=False) for _ in range(24))
weights = sum(p.nbytes for p in model.parameters())
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")
replace_linears(model, packer.packed)
with open("/proc/self/status") as status:
    peak = next(int(l.split()[1]) for l in status if l.startswith("VmHWM")) * 1024
with open("/proc/self/status") as status:
    files = sum(int(l.split()[1]) for l in status if l.startswith(("RssFile", "RssShmem"))) * 1024
print((peak - files - before) / weights, (anonymous_bytes() - before) / weights)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kernels", KERNELS)
def test_packed_weights_replace_the_others_one_by_one(kernels: str) -> None:
    script = PEAK.replace("{own}", str(kernels == "own"))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    at_peak, after = map(float, done.stdout.split())

    assert after < 1.05, "the unpacked weights are still held"
    assert at_peak < 1.1
