"""Rotary positions: plain, interleaved M-RoPE for models that see, 2-D rotary for the tower.

Angles are float32 functions of integer positions; the half-split pairing rotates dimension i
with i + half. YaRN as in Peng et al., 2023 (arXiv:2309.00071); the Llama 3 rule as Meta published
it with Llama 3.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Yarn:
    """Slow dimensions are stretched by `factor`, fast ones (by turns in the original) kept."""

    factor: float
    original_positions: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0


@dataclass(frozen=True, slots=True)
class Llama3Scaling:
    """Wavelengths beyond original / low are stretched by `factor`, below original / high kept."""

    factor: float
    low_frequency_factor: float
    high_frequency_factor: float
    original_positions: int


@dataclass(frozen=True, slots=True)
class RopeConfig:
    """Rotary settings; `mrope_section` counts frequencies for time, height, width.

    Without sections a token has one position, and all frequencies follow it.
    """

    theta: float
    rotary_dim: int
    mrope_section: tuple[int, int, int] | None = None
    scaling: Yarn | Llama3Scaling | None = None


def inverse_frequencies(rope: RopeConfig) -> torch.Tensor:
    """theta^(-2i / rotary_dim) for i < rotary_dim / 2, then scaled; float32 [rotary_dim / 2]."""
    # On the CPU whatever the default device: models are built on the meta device.
    on_cpu: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}
    exponents = torch.arange(0, rope.rotary_dim, 2, **on_cpu) / rope.rotary_dim
    plain = 1.0 / rope.theta**exponents
    match rope.scaling:
        case None:
            return plain
        case Yarn():
            keep = _yarn_keep(rope.scaling, rope)
        case Llama3Scaling():
            keep = _llama3_keep(rope.scaling, plain)
    return plain / rope.scaling.factor * (1 - keep) + plain * keep


def _yarn_keep(yarn: Yarn, rope: RopeConfig) -> torch.Tensor:
    """How far each dimension stays as it is: 1 the fast ones, 0 the slow ones, a ramp between."""

    def correction_dim(rotations: float) -> float:
        turns = yarn.original_positions / (rotations * 2 * math.pi)
        return rope.rotary_dim * math.log(turns) / (2 * math.log(rope.theta))

    low = max(math.floor(correction_dim(yarn.beta_fast)), 0)
    high = min(math.ceil(correction_dim(yarn.beta_slow)), rope.rotary_dim - 1)
    dims = torch.arange(rope.rotary_dim // 2, dtype=torch.float32, device="cpu")
    return 1.0 - ((dims - low) / max(high - low, 0.001)).clamp(0, 1)


def _llama3_keep(llama3: Llama3Scaling, plain: torch.Tensor) -> torch.Tensor:
    """As _yarn_keep: by how many wavelengths fit into the original context."""
    turns = llama3.original_positions * plain / (2 * math.pi)
    low, high = llama3.low_frequency_factor, llama3.high_frequency_factor
    return ((turns - low) / (high - low)).clamp(0, 1)


def attention_scaling(rope: RopeConfig) -> float:
    """YaRN's factor on cos and sin: 0.1 ln(factor) + 1; 1 without YaRN."""
    if isinstance(rope.scaling, Yarn) and rope.scaling.factor > 1.0:
        return 0.1 * math.log(rope.scaling.factor) + 1.0
    return 1.0


def cos_sin(
    positions: torch.Tensor, inv_freq: torch.Tensor, rope: RopeConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin, float32 [..., rotary_dim], of positions [3, ...] (time, height, width).

    Without sections only the first axis counts. With them frequency i follows height where
    i % 3 == 1 and width where i % 3 == 2, as far as their sections reach (3 x section), and time
    elsewhere.
    """
    if rope.mrope_section is None:
        angles = positions[0, ..., None].float() * inv_freq
    else:
        by_axis = positions[..., None].float() * inv_freq  # [3, ..., rotary_dim / 2]
        angles = by_axis[0].clone()
        for axis in (1, 2):
            reach = 3 * rope.mrope_section[axis]
            angles[..., axis:reach:3] = by_axis[axis][..., axis:reach:3]
    both = torch.cat((angles, angles), dim=-1)
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
