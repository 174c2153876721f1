"""The SwiGLU feed-forward block."""

from __future__ import annotations

import torch
from torch import nn

from .operations import Operating
from .projections import SideBySide


class SwiGLU(SideBySide, Operating):
    """down(silu(gate(x)) * up(x)), no biases."""

    names = ("gate_proj", "up_proj")

    def __init__(self, hidden_size: int, intermediate_size: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, up = self.project(x)
        return self.down_proj(self.operations.silu_times(gate, up))
