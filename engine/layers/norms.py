"""RMS norms: the plain one, and the two of the Qwen3.5 family."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from .gated_delta import gated_rms_norm
from .operations import NormWeights, Operating


class RMSNorm(Operating):
    """x / rms(x) * weight, the product in float32, then back to the input's dtype."""

    offset: ClassVar[float] = 0.0

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        # Whatever the offset, a norm begins by scaling nothing.
        self.weight = nn.Parameter(torch.full((size,), 1.0 - self.offset))
        self.eps = eps

    @property
    def weights(self) -> NormWeights:
        return NormWeights(self.weight, self.offset, self.eps)

    def forward(self, x: torch.Tensor, update: torch.Tensor | None = None) -> torch.Tensor:
        return self.of_sum(x, update)[1]

    def of_sum(
        self, x: torch.Tensor, update: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """x + update, where there is one, and that normed."""
        if update is None:
            return x, self.operations.rms_norm(x, self.weights)
        return self.operations.add_rms_norm(x, update, self.weights)


class ZeroCentredRMSNorm(RMSNorm):
    """x / rms(x) * (1 + weight), the product in float32, then back to the input's dtype."""

    offset: ClassVar[float] = 1.0


class GatedRMSNorm(nn.Module):
    """weight * x / rms(x) in the input's dtype, then times silu(gate) in float32.

    Normalises the last dimension, one value head at a time. The weight is kept in float32.
    """

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        return gated_rms_norm(x, gate, self.weight, self.eps)
