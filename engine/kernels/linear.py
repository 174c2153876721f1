"""Linear layers on the CPU: weights packed once in the order they are multiplied in.

LinearPacker takes the place of every nn.Linear of a loaded model, one at a time, so that the packed
weights replace the others and are never held beside them. Without kernels of our own oneDNN's
serve, and where this torch or this processor cannot pack for them, the plain product stays. It
knows no architecture and no other device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from ..layers.projections import MakeProduct
from .library import Library
from .panels import PanelLinear, panels_bytes
from .row_rule import Product, RowRule, exact_rule

# What the packing is told to expect. One made for 8 was good from 1 row to 512.
_EXPECTED_ROWS = 8
# Four rows take less time than one, in both dtypes (bench/linear.py of commit 6fb24bd2).
_LEAST_PACKED_ROWS = 4


class CpuLinear(nn.Module):
    """x @ weight.T + bias as nn.Linear has it: a product of torch's, and the rule of its rows."""

    def __init__(self, product: Product, rule: RowRule, shape: torch.Size) -> None:
        super().__init__()
        self._product = product
        self._out_features, self._in_features = shape
        self.rule = rule

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., in features] to [..., out features]."""
        rows = self.rule.apply(x.reshape(-1, self._in_features), self._product)
        return rows.view(*x.shape[:-1], self._out_features)

    def extra_repr(self) -> str:
        return f"{self._in_features} to {self._out_features}, {self.rule}"


@dataclass(slots=True)
class LinearPacker:
    """Packs layers, and remembers what it finds out about this processor on the way.

    `exact`: a row's result is the same bits whatever stands beside it. It costs nothing where the
    product is like that by itself, and padding where it is not. `library`: our own kernels, if any.
    """

    exact: bool
    library: Library | None = None
    _can_pack: dict[torch.dtype, bool] = field(default_factory=dict[torch.dtype, bool])
    _rules: dict[tuple[torch.Size, torch.dtype], RowRule] = field(
        default_factory=dict[tuple[torch.Size, torch.dtype], RowRule]
    )

    def packed(
        self, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> PanelLinear | CpuLinear | None:
        """The layer of weight [out, in]; None where nothing is to be gained by having one."""
        weight = weight.detach()
        bias = None if bias is None else bias.detach()
        if self.library is not None and self.has_panels(weight.shape, weight.dtype):
            return PanelLinear(self.library, weight, bias)
        if self._packs(weight.dtype):
            product = packed_product(weight, bias)
            rule = self._rule(product, weight, _LEAST_PACKED_ROWS)
            return CpuLinear(product, rule, weight.shape)
        if self.exact:
            product = plain_product(weight, bias)
            return CpuLinear(product, self._rule(product, weight, 1), weight.shape)
        return None

    def copy_bytes(self, shape: torch.Size, dtype: torch.dtype) -> int | None:
        """What the layer of a weight [out, in] holds of its own; None where it holds the weight."""
        if self.library is not None and self.has_panels(shape, dtype):
            return panels_bytes(self.library, shape, dtype)
        return shape.numel() * dtype.itemsize if self._packs(dtype) else None

    def has_panels(self, shape: torch.Size, dtype: torch.dtype) -> bool:
        library = self.library
        if library is None or library.step == 0:
            return False
        return dtype == library.dtype and shape[1] % library.step == 0

    def _packs(self, dtype: torch.dtype) -> bool:
        if dtype not in self._can_pack:
            self._can_pack[dtype] = can_pack(dtype)
        return self._can_pack[dtype]

    def _rule(self, product: Product, weight: torch.Tensor, least_rows: int) -> RowRule:
        if not self.exact:
            return RowRule(least_rows)
        key = (weight.shape, weight.dtype)
        if key not in self._rules:
            self._rules[key] = exact_rule(product, weight.shape[1], weight.dtype, least_rows)
        return self._rules[key]


def replace_linears(model: nn.Module, make_product: MakeProduct) -> None:
    """All of a model, in place."""
    # By name: a list of the layers would keep all unpacked weights to the end.
    modules = cast("Iterator[tuple[str, nn.Module]]", model.named_modules())
    names = [name for name, module in modules if type(module) is nn.Linear]
    for name in names:
        linear = cast(nn.Linear, model.get_submodule(name))
        bias = cast("torch.Tensor | None", linear.bias)
        packed = make_product(linear.weight, bias)
        if packed is not None:
            model.set_submodule(name, packed)


def plain_product(weight: torch.Tensor, bias: torch.Tensor | None) -> Product:
    def product(x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, weight, bias)

    return product


def packed_product(weight: torch.Tensor, bias: torch.Tensor | None) -> Product:
    """The product with weight [out, in], of which it keeps a packed copy and nothing else."""
    packed = _ops()._reorder_linear_weight(weight, _EXPECTED_ROWS)
    multiply = _ops()._linear_pointwise

    def product(x: torch.Tensor) -> torch.Tensor:
        return multiply(x, packed, bias, "none", [], "")

    return product


def can_pack(dtype: torch.dtype) -> bool:
    """Whether packed products work here in `dtype`: asked, then tried against the plain one."""
    if dtype not in (torch.float32, torch.bfloat16) or not torch.backends.mkldnn.is_available():
        return False
    ops = _ops()
    if not hasattr(ops, "_reorder_linear_weight") or not hasattr(ops, "_linear_pointwise"):
        return False
    if dtype == torch.bfloat16 and not ops._is_mkldnn_bf16_supported():
        return False
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(48, 64, generator=generator)
    x = torch.randn(3, 64, generator=generator)
    try:
        y = packed_product(weight.to(dtype), None)(x.to(dtype)).float()
    except RuntimeError:
        return False
    # Sums of 64 products: well within this where the order was understood, far outside otherwise.
    return torch.allclose(y, functional.linear(x, weight), rtol=0.05, atol=0.5)


def _ops() -> Any:
    return torch.ops.mkldnn
