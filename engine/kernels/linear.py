"""Linear layers on the CPU: weights packed once in the order oneDNN multiplies in.

`pack_linears` takes the place of every nn.Linear of a loaded model, one at a time, so that the
packed weights replace the others and are never held beside them. Where this torch or this
processor cannot pack, the plain product stays. It knows no architecture and no other device.
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from .row_rule import AS_THEY_COME, Product, RowRule, exact_rule

# What the packing is told to expect. One made for 8 rows was good from 1 to 512.
_EXPECTED_ROWS = 8


class CpuLinear(nn.Module):
    """x @ weight.T + bias as nn.Linear has it: a product, and the rule that hands it its rows."""

    def __init__(
        self, product: Product, rule: RowRule, in_features: int, out_features: int
    ) -> None:
        super().__init__()
        self._product = product
        self._in_features = in_features
        self._out_features = out_features
        self.rule = rule

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., in features] to [..., out features]."""
        if self.rule == AS_THEY_COME:
            return self._product(x)
        rows = self.rule.apply(x.reshape(-1, self._in_features), self._product)
        return rows.view(*x.shape[:-1], self._out_features)

    def extra_repr(self) -> str:
        return f"{self._in_features} to {self._out_features}, {self.rule}"


def pack_linears(model: nn.Module, *, exact: bool) -> None:
    """Replace every nn.Linear of a model on the CPU, in place.

    `exact`: a row's result is the same bits whatever stands beside it. It costs nothing where the
    product is like that by itself, and padding where it is not.
    """
    packer = LinearPacker(exact=exact)
    # By name: a list of the layers would keep all unpacked weights to the end.
    names = [name for name, module in model.named_modules() if type(module) is nn.Linear]
    for name in names:
        model.set_submodule(name, packer.packed(cast(nn.Linear, model.get_submodule(name))))


class LinearPacker:
    """Packs layers, and remembers what was found out about this processor on the way."""

    def __init__(self, *, exact: bool) -> None:
        self._exact = exact
        self._can_pack: dict[torch.dtype, bool] = {}
        self._rules: dict[tuple[torch.Size, torch.dtype], RowRule] = {}

    def packed(self, linear: nn.Linear) -> nn.Module:
        """The layer to put in its place: `linear` itself where nothing is to be gained."""
        weight = linear.weight.detach()
        bias = None if linear.bias is None else linear.bias.detach()
        if weight.dtype not in self._can_pack:
            self._can_pack[weight.dtype] = can_pack(weight.dtype)
        can = self._can_pack[weight.dtype]
        if not can and not self._exact:
            return linear
        product = packed_product(weight, bias) if can else plain_product(weight, bias)
        return CpuLinear(product, self._rule(product, weight), *reversed(weight.shape))

    def _rule(self, product: Product, weight: torch.Tensor) -> RowRule:
        if not self._exact:
            return AS_THEY_COME
        key = (weight.shape, weight.dtype)
        if key not in self._rules:
            self._rules[key] = exact_rule(product, weight.shape[1], weight.dtype)
        return self._rules[key]


def plain_product(weight: torch.Tensor, bias: torch.Tensor | None) -> Product:
    return partial(functional.linear, weight=weight, bias=bias)


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
        product = packed_product(weight.to(dtype), None)
        y = product(x.to(dtype)).float()
    except RuntimeError:
        return False
    # Sums of 64 products: far within this where the layout was understood, far outside otherwise.
    return torch.allclose(y, functional.linear(x, weight), rtol=0.05, atol=0.5)


def _ops() -> Any:
    return torch.ops.mkldnn
