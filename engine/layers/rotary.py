"""Rotary positions: interleaved M-RoPE for the language model, 2-D rotary for the tower.

Angles are float32 functions of integer positions; the half-split pairing rotates dimension i
with i + half. YaRN as in Peng et al., 2023 (arXiv:2309.00071).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class RopeConfig:
    """Rotary settings; `mrope_section` counts frequencies for time, height, width."""

    theta: float
    rotary_dim: int
    mrope_section: tuple[int, int, int]
    yarn_factor: float = 1.0
    yarn_original_positions: int = 0
    yarn_beta_fast: float = 32.0
    yarn_beta_slow: float = 1.0


def inverse_frequencies(rope: RopeConfig) -> torch.Tensor:
    """theta^(-2i / rotary_dim) for i < rotary_dim / 2, YaRN's ramp applied; [rotary_dim / 2]."""
    dims = rope.rotary_dim
    # On the CPU whatever the default device: models are built on the meta device.
    on_cpu: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}
    plain = 1.0 / rope.theta ** (torch.arange(0, dims, 2, **on_cpu) / dims)
    if rope.yarn_factor == 1.0:
        return plain

    def correction_dim(rotations: float) -> float:
        turns = rope.yarn_original_positions / (rotations * 2 * math.pi)
        return dims * math.log(turns) / (2 * math.log(rope.theta))

    low = max(math.floor(correction_dim(rope.yarn_beta_fast)), 0)
    high = min(math.ceil(correction_dim(rope.yarn_beta_slow)), dims - 1)
    ramp = (torch.arange(dims // 2, **on_cpu) - low) / max(high - low, 0.001)
    keep = 1.0 - ramp.clamp(0, 1)  # 1: a fast dimension, left as it is
    return plain / rope.yarn_factor * (1 - keep) + plain * keep


def attention_scaling(rope: RopeConfig) -> float:
    """YaRN's factor on cos and sin: 0.1 ln(factor) + 1; 1 without YaRN."""
    return 0.1 * math.log(rope.yarn_factor) + 1.0 if rope.yarn_factor > 1.0 else 1.0


def mrope_cos_sin(
    positions: torch.Tensor, inv_freq: torch.Tensor, rope: RopeConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin, float32 [..., rotary_dim], of positions [3, ...] (time, height, width).

    Frequency i follows height where i % 3 == 1 and width where i % 3 == 2, as far as their
    sections reach (3 x section), and time elsewhere.
    """
    angles = positions[..., None].float() * inv_freq  # [3, ..., rotary_dim / 2]
    mixed = angles[0].clone()
    for axis in (1, 2):
        reach = 3 * rope.mrope_section[axis]
        mixed[..., axis:reach:3] = angles[axis][..., axis:reach:3]
    both = torch.cat((mixed, mixed), dim=-1)
    scaling = attention_scaling(rope)
    return both.cos() * scaling, both.sin() * scaling


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate the first cos.shape[-1] dimensions of x; the rest pass. cos, sin broadcast to x."""
    dims = cos.shape[-1]
    turning, passing = x[..., :dims], x[..., dims:]
    first, second = turning.chunk(2, dim=-1)
    turned = turning * cos + torch.cat((-second, first), dim=-1) * sin
    return torch.cat((turned, passing), dim=-1) if passing.shape[-1] else turned


def vision_cos_sin(
    rows: torch.Tensor, columns: torch.Tensor, head_dim: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin, float32 [patches, head_dim], of patch coordinates: rows first, then columns."""
    quarter = torch.arange(0, head_dim // 2, 2, dtype=torch.float32, device=rows.device)
    inv_freq = 1.0 / 10000.0 ** (quarter / (head_dim // 2))
    angles = torch.cat((rows[:, None] * inv_freq, columns[:, None] * inv_freq), dim=-1)
    both = torch.cat((angles, angles), dim=-1)
    return both.cos(), both.sin()
