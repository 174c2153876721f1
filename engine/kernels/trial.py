"""Whether our kernels compute what torch does, tried on small tensors.

A compiler may be wrong, and so may what we know of a processor: kernels made on a machine are
believed after this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch.nn import functional

from ..attention.tables import StepSlots, StepTables
from ..layers.gated_delta import DeltaInputs, DeltaWeights, LinearState
from ..layers.operations import PLAIN, NormWeights, Operations, Turn
from .library import Library
from .native import NativeOperations
from .panels import PanelLinear

Linear = Callable[[torch.Tensor], torch.Tensor]

# Of the largest value: some roundings of the dtype, as the ways to the same sum differ.
_TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 4e-2}


def differences(library: Library) -> list[str]:
    """The names of those that differ from torch's."""
    dtype = library.dtype
    found = operations_that_differ(NativeOperations(library), dtype, torch.device("cpu"))
    if library.panel_rows:
        with torch.inference_mode():
            plain = _products(_plain, dtype)
            ours = _products(lambda weight, bias: PanelLinear(library, weight, bias), dtype)
        found += [] if _agree(ours, plain, _TOLERANCES[dtype]) else ["product"]
    return found


def operations_that_differ(
    operations: Operations, dtype: torch.dtype, device: torch.device
) -> list[str]:
    """The names of operations that differ from the plain ones on a device."""
    with torch.inference_mode():
        plain = dict(_results(PLAIN, dtype, device))
        ours = dict(_results(operations, dtype, device))
    return [name for name in plain if not _agree(ours[name], plain[name], _TOLERANCES[dtype])]


def _agree(ours: list[torch.Tensor], plain: list[torch.Tensor], tolerance: float) -> bool:
    return all(
        bool((a.float() - b.float()).abs().max() <= tolerance * b.float().abs().max())
        for a, b in zip(ours, plain, strict=True)
    )


def _plain(weight: torch.Tensor, bias: torch.Tensor) -> Linear:
    return lambda x: functional.linear(x, weight, bias)


def _products(
    linear: Callable[[torch.Tensor, torch.Tensor], Linear], dtype: torch.dtype
) -> list[torch.Tensor]:
    """Of one row, of as many as fill no block, and of more than a thread takes at a time."""
    draw = _Drawn(dtype, torch.device("cpu"))
    weight, bias, x = draw(150, 70), draw(150), draw(61, 70)
    layer = linear(weight, bias)
    return [layer(x[:count]) for count in (1, 5, 61)]


class _Drawn:
    """Random tensors of a dtype on a device, always the same ones in turn."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self._dtype = dtype
        self.device = device
        self._generator = torch.Generator().manual_seed(0)

    def __call__(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self._generator).to(self.device, self._dtype)


def _results(
    operations: Operations, dtype: torch.dtype, device: torch.device
) -> Iterator[tuple[str, list[torch.Tensor]]]:
    """Each operation's results on the same tensors: sizes that are no round numbers, those that
    have code of their own, and some that are work enough for several threads.
    """
    draw = _Drawn(dtype, device)
    # The last as long as a model's rows: several warps each, and no power of two.
    for rows, size in ((6, 36), (300, 130), (3, 5120)):
        norm = NormWeights(draw(size), 1.0, 1e-6)
        yield f"rms_norm of {size}", [operations.rms_norm(draw(rows, 1, size), norm)]
        both = operations.add_rms_norm(draw(rows, 1, size), draw(rows, 1, size), norm)
        yield f"add_rms_norm of {size}", [*both]
        gate, up = draw(rows, 1, 2 * size).chunk(2, dim=-1)
        yield f"silu_times of {size}", [operations.silu_times(gate, up)]
    for rows, size in ((6, 36), (300, 130)):
        norm = NormWeights(draw(size), 1.0, 1e-6)
        angles = draw(rows, 1, 1, 10).repeat(1, 1, 1, 2)
        heads = draw(rows, 1, 4, 2 * size)[..., :size]
        turned = operations.norm_rotate(heads, norm, angles.cos(), angles.sin())
        yield f"norm_rotate of {size}", [turned]
    for dim in (36, 64, 128, 256):
        # Two sequences, whose pages do not follow each other.
        tables = StepTables([[1, 3, 5, 7, 9], [2]], [70, 5], 1, 16, device)
        yield f"attend_step of {dim}", _attended(operations, draw, tables, (2, 1), dim)
        # One sequence, of whose tokens the last 70 are new.
        tables = StepTables([[4, 1, 3, 5, 7, 9, 8, 2, 6, 0]], [150], 70, 16, device)
        yield f"attend_chunk of {dim}", _attended(operations, draw, tables, (1, 70), dim)
    for batch, tokens, dim in ((3, 1, 28), (1, 6, 128)):
        yield f"mix_kept of {dim}", _mixed(operations, draw, batch, tokens, dim)


def _attended(
    operations: Operations, draw: _Drawn, tables: StepTables, new: tuple[int, int], dim: int
) -> list[torch.Tensor]:
    """Six heads of queries, three of keys, of as many sequences and new tokens as `new` says."""
    q, (k, v), (keys, values) = draw(*new, 6, dim), draw(2, *new, 3, dim), draw(2, 160, 3, dim)
    angles = draw(*new, 1, 10).repeat(1, 1, 1, 2)
    norms = (NormWeights(draw(dim), 1.0, 1e-6), NormWeights(draw(dim), 0.0, 1e-5))
    turn = Turn(*norms, angles.cos(), angles.sin())
    out = operations.turn_and_attend(q, k, v, turn, keys, values, tables, 0.1)
    return [out, keys, values]


def _mixed(
    operations: Operations, draw: _Drawn, batch: int, tokens: int, dim: int
) -> list[torch.Tensor]:
    """Four value heads of `dim`, two key heads of 20."""
    channels, values = 2 * 2 * 20 + 4 * dim, 4 * dim
    weights = DeltaWeights(
        draw(channels, 4), draw(4).float(), draw(4), draw(dim).float(), 1e-6, 2, 4, 20, dim
    )
    joined = draw(batch, tokens, channels + values + 8)
    ends = (channels, channels + values, channels + values + 4)
    qkv, z, b, a = joined.tensor_split(ends, dim=-1)
    kept = LinearState(draw(4, 3, channels), draw(4, 4, 20, dim).float())
    slots = StepSlots([2, 0, 3][:batch], draw.device)
    return [
        operations.mix_kept(weights, DeltaInputs(qkv, z, b, a), kept, slots),
        kept.conv,
        kept.recurrent,
    ]
