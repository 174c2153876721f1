"""What the device can do at most, measured: bytes copied within it, and a large matrix product."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much is copied, and the sides of the matrices."""

    copied_bytes: int = 4 << 30
    side: int = 8192


@dataclass(frozen=True, slots=True)
class Ceilings:
    """`copy_bytes_per_s` counts what is read and what is written."""

    copy_bytes_per_s: float
    product_flops_per_s: float


def measure_ceilings(
    device: torch.device, dtype: torch.dtype, amounts: Amounts | None = None
) -> Ceilings:
    """The medians of some rounds, on random data: a device multiplies zeros faster."""
    amounts = amounts or Amounts()
    copy_s = _copy_s(device, amounts.copied_bytes)
    product_s = _product_s(device, dtype, amounts.side)
    return Ceilings(2 * amounts.copied_bytes / copy_s, 2 * amounts.side**3 / product_s)


def _copy_s(device: torch.device, num_bytes: int) -> float:
    source = torch.randint(256, (num_bytes,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return _seconds(device, lambda: target.copy_(source))


def _product_s(device: torch.device, dtype: torch.dtype, side: int) -> float:
    left = torch.randn(side, side, device=device, dtype=dtype)
    right = torch.randn_like(left)
    out = torch.empty_like(left)
    return _seconds(device, lambda: torch.mm(left, right, out=out))


def _seconds(device: torch.device, act: Callable[[], object]) -> float:
    took_s: list[float] = []
    for _ in range(_ROUNDS + 1):
        wait_for(device)
        began_s = time.perf_counter()
        act()
        wait_for(device)
        took_s.append(time.perf_counter() - began_s)
    return median(took_s[1:])


def wait_for(device: torch.device) -> None:
    """Until all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
