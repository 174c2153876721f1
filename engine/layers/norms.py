"""RMS norms: the plain one, and the two of the Qwen3.5 family."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class RMSNorm(nn.Module):
    """x / rms(x) * weight, the product in float32, then back to the input's dtype."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scaled = functional.rms_norm(x.float(), (x.shape[-1],), self.weight.float(), self.eps)
        return scaled.to(x.dtype)


class ZeroCentredRMSNorm(nn.Module):
    """x / rms(x) * (1 + weight), the product in float32, then back to the input's dtype."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scaled = functional.rms_norm(x.float(), (x.shape[-1],), 1.0 + self.weight.float(), self.eps)
        return scaled.to(x.dtype)


class GatedRMSNorm(nn.Module):
    """weight * x / rms(x) in the input's dtype, then times silu(gate) in float32.

    Normalises the last dimension, one value head at a time. The weight is kept in float32.
    """

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        dtype = gate.dtype
        normed = functional.rms_norm(x.float(), (x.shape[-1],), None, self.eps)
        weighted = self.weight * normed.to(dtype)
        return (weighted * functional.silu(gate.float())).to(dtype)
