"""In which numbers a model is computed, and whether a row's bits are its own.

Exact mode: the same prompt and seed give the same bits in any company, remembered or not, on this
machine. Fast mode takes the quickest way; its tokens agree with the exact ones as far as rounding
lets them. Decided here from what was wished, what the files hold and what the device can do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from .errors import ModelInvalid
from .wishes import Wishes

Mode = Literal["exact", "fast"]

# Weights that fit into a processor's cache are read no quicker for being half as large.
_SMALL_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """What the files hold; `dtype` is that of most of their values, None an unusual one."""

    dtype: torch.dtype | None
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Precision:
    mode: Mode
    dtype: torch.dtype

    @property
    def is_exact(self) -> bool:
        return self.mode == "exact"

    def __str__(self) -> str:
        return f"{self.mode} mode, {str(self.dtype).removeprefix('torch.')}"


def choose_precision(
    wishes: Wishes, stored: Stored, device_type: str, has_bfloat16: bool
) -> Precision:
    """`has_bfloat16`: whether the device multiplies bfloat16 by itself.

    Raises ModelInvalid for exact mode where only fast mode is possible.
    """
    is_cpu = device_type == "cpu"
    if wishes.mode == "exact" and not is_cpu:
        raise _not_exact(
            f"--mode exact on {device_type}", "leave it out, or compute with --gpu cpu"
        )
    if wishes.mode == "exact" and wishes.dtype == "bfloat16":
        raise _not_exact("--mode exact with --dtype bfloat16", "leave one of them out")
    dtype = torch.float32
    if wishes.dtype == "bfloat16":
        dtype = torch.bfloat16
    elif wishes.dtype == "auto" and wishes.mode != "exact":
        halves = stored.dtype in (torch.bfloat16, torch.float16)
        pays = not is_cpu or wishes.mode == "fast" or stored.num_bytes > _SMALL_BYTES
        if halves and has_bfloat16 and pays:
            dtype = torch.bfloat16
    is_exact = wishes.mode == "exact" or (
        wishes.mode == "auto" and is_cpu and dtype == torch.float32
    )
    return Precision("exact" if is_exact else "fast", dtype)


def _not_exact(what: str, hint: str) -> ModelInvalid:
    return ModelInvalid(
        f"{what}: exact mode is for float32 on the CPU.",
        f"{hint}.",
    )
