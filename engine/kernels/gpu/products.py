"""Linear layers on a GPU: joined where they share their input, each computed the quicker way.

GpuPacker takes the place of LinearPacker there. For few rows there is a kernel of ours beside the
library's; for every shape of weight both are measured at the first load on a device.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import platformdirs
import torch
from torch import nn
from torch.nn import functional

from ...poison import raise_poison
from .choosing import Shape, Times, TimesFile, rows_for_ours
from .complaint import complain

_log = logging.getLogger(__name__)

# x [rows, in] @ weight [out, in].T + bias.
Multiply = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
MeasureWeight = Callable[[torch.Tensor, int], Times | None]
OpenTimes = Callable[[torch.Tensor], TimesFile]

_REPEATS = 7
_FILLINGS = 8
# More than any GPU's cache holds: what was read before must not be read from there.
_CACHE_BYTES = 256 << 20
# Of bfloat16 results against each other, for rows and weights drawn from a normal distribution.
_TOLERANCE = 4e-2
# JSON knows no infinity.
_NEVER_US = 1e12


class GpuLinear(nn.Module):
    """x @ weight.T + bias, as nn.Linear has it; `ours` are the numbers of rows for our kernel."""

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        ours: frozenset[int],
        multiply: Multiply,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
        self._ours = ours
        self._multiply = multiply

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., in features] to [..., out features]."""
        rows = x.numel() // x.shape[-1]
        if rows not in self._ours:
            return functional.linear(x, self.weight, self.bias)
        flat = x.reshape(rows, x.shape[-1]).contiguous()
        return self._multiply(flat, self.weight, self.bias).view(*x.shape[:-1], len(self.weight))

    def extra_repr(self) -> str:
        ours = f", ours for {sorted(self._ours)} rows" if self._ours else ""
        return f"{self.weight.shape[1]} to {self.weight.shape[0]}{ours}"


class GpuPacker:
    """Makes the linear layers of a model, which keep their weights as they are."""

    library = None

    def __init__(self, multiply: Multiply, measure: MeasureWeight, open_times: OpenTimes) -> None:
        """`open_times` is asked when there is a weight: whoever only estimates needs no device."""
        self._multiply = multiply
        self._measure = measure
        self._open_times = open_times
        self._times: TimesFile | None = None

    def packed(self, weight: torch.Tensor, bias: torch.Tensor | None) -> GpuLinear:
        weight = weight.detach().contiguous()
        if self._times is None:
            self._times = self._open_times(weight)
        times = self._times.times(Shape(*weight.shape), lambda rows: self._measure(weight, rows))
        return GpuLinear(weight, bias, rows_for_ours(times), self._multiply)

    def copy_bytes(self, shape: torch.Size, dtype: torch.dtype) -> int | None:
        """A layer holds the weight itself."""
        return None

    def has_panels(self, shape: torch.Size, dtype: torch.dtype) -> bool:
        return False


def gpu_packer(dtype: torch.dtype) -> GpuPacker | None:
    """For a GPU and numbers that our kernel serves; None where linear layers stay as they are."""
    if dtype != torch.bfloat16 or find_spec("triton") is None:
        return None
    # Whoever computes on a CPU never loads Triton.
    from .small_product import small_product

    return GpuPacker(
        small_product,
        lambda weight, rows: measured(small_product, weight, rows, gpu_time_us),
        times_of_device,
    )


def times_of_device(weight: torch.Tensor) -> TimesFile:
    """Those kept of the device and the numbers of a weight."""
    depends_on = (
        torch.cuda.get_device_name(weight.device), torch.__version__, version("triton"),
        "time of the device", str(weight.dtype),
        Path(__file__).with_name("small_product.py").read_text(encoding="utf-8"),
    )  # fmt: skip
    folder = platformdirs.user_cache_path("cortex", appauthor=False) / "kernels"
    return TimesFile(folder, depends_on)


def measured(
    multiply: Multiply,
    weight: torch.Tensor,
    rows: int,
    time_us: Callable[[torch.device, Callable[[], object]], float],
) -> Times | None:
    """Ours takes for ever where it computes something else. None where measuring fails."""
    generator = torch.Generator().manual_seed(rows)
    x = torch.randn(rows, weight.shape[1], generator=generator).to(weight.device, weight.dtype)
    with torch.inference_mode():
        try:
            library_us = time_us(weight.device, lambda: functional.linear(x, weight))
            if not _agree(multiply(x, weight, None), functional.linear(x, weight)):
                _log.warning("our product of %s differs from torch's", tuple(weight.shape))
                return Times(library_us, _NEVER_US)
            return Times(library_us, time_us(weight.device, lambda: multiply(x, weight, None)))
        except Exception as error:
            # A compiler that fails on this device fails in ways of its own.
            raise_poison(error)
            complain(str(error))
            return None


def _agree(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Against the largest of them: single results may cancel out to almost nothing."""
    difference = (ours.float() - theirs.float()).abs().max()
    return bool(difference <= _TOLERANCE * theirs.float().abs().max())


def gpu_time_us(device: torch.device, work: Callable[[], object]) -> float:
    """What some work takes of the device, its data read from memory and not from a cache. What the
    host takes to launch it does not count: most steps are graphs.
    """
    work()
    filler = torch.empty(_CACHE_BYTES, dtype=torch.uint8, device=device)
    device_us: list[float] = []
    for _ in range(_REPEATS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        # Long enough that the work is launched before it can begin.
        for _ in range(_FILLINGS):
            filler.zero_()
        start.record()
        work()
        end.record()
        end.synchronize()
        device_us.append(1000 * start.elapsed_time(end))
    return median(device_us)
