"""Whether our kernels compute what torch does, tried on small tensors.

A compiler may be wrong, and so may what we know of a processor: kernels made on a machine are
believed after this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch.nn import functional

from ..attention.tables import StepTables
from ..layers.gated_delta import DeltaWeights, LinearState
from ..layers.operations import PLAIN, NormWeights, Operations
from .library import Library
from .native import NativeOperations
from .panels import PanelLinear

Linear = Callable[[torch.Tensor], torch.Tensor]

# Of the largest value: some roundings of the dtype, as the ways to the same sum differ.
_TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 4e-2}


def differences(library: Library) -> list[str]:
    """The names of those that differ from torch's."""
    dtype = library.dtype
    with torch.inference_mode():
        plain = dict(_results(PLAIN, dtype))
        ours = dict(_results(NativeOperations(library), dtype))
        if library.panel_rows:
            plain["product"] = _products(_plain, dtype)
            ours["product"] = _products(
                lambda weight, bias: PanelLinear(library, weight, bias), dtype
            )
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
    draw = _Drawn(dtype)
    weight, bias, x = draw(150, 70), draw(150), draw(61, 70)
    layer = linear(weight, bias)
    return [layer(x[:count]) for count in (1, 5, 61)]


class _Drawn:
    """Random tensors of a dtype, always the same ones in turn."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._generator = torch.Generator().manual_seed(0)

    def __call__(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self._generator).to(self._dtype)


def _results(
    operations: Operations, dtype: torch.dtype
) -> Iterator[tuple[str, list[torch.Tensor]]]:
    """Each operation's results on the same tensors: sizes that are no round numbers, those that
    have code of their own, and some that are work enough for several threads.
    """
    draw = _Drawn(dtype)
    for rows, size in ((6, 36), (300, 130)):
        norm = NormWeights(draw(size), 1.0, 1e-6)
        yield f"rms_norm of {size}", [operations.rms_norm(draw(rows, 1, size), norm)]
        gate, up = draw(rows, 1, 2 * size).chunk(2, dim=-1)
        yield f"silu_times of {size}", [operations.silu_times(gate, up)]
        angles = draw(rows, 1, 1, 10).repeat(1, 1, 1, 2)
        heads = draw(rows, 1, 4, 2 * size)[..., :size]
        turned = operations.norm_rotate(heads, norm, angles.cos(), angles.sin())
        yield f"norm_rotate of {size}", [turned]
    for dim in (36, 64, 128, 256):
        queries, new, stored = draw(2, 1, 6, dim), draw(2, 2, 1, 3, dim), draw(2, 160, 3, dim)
        # Two sequences, whose pages do not follow each other.
        tables = _tables([[1, 3, 5, 7, 9], [2]], [70, 5], 1)
        out = operations.attend(queries, new[0], new[1], stored[0], stored[1], tables, 0.1)
        yield f"attend_step of {dim}", [out, stored]
        queries, new, stored = draw(1, 70, 6, dim), draw(2, 1, 70, 3, dim), draw(2, 160, 3, dim)
        # One sequence, of whose tokens the last 70 are new.
        tables = _tables([[4, 1, 3, 5, 7, 9, 8, 2, 6, 0]], [150], 70)
        out = operations.attend(queries, new[0], new[1], stored[0], stored[1], tables, 0.1)
        yield f"attend_chunk of {dim}", [out, stored]
    for batch, tokens, dim in ((3, 1, 28), (1, 6, 128)):
        yield f"gated_delta_mix of {dim}", _mixed(operations, draw, batch, tokens, dim)


def _tables(pages: list[list[int]], lengths: list[int], num_new: int) -> StepTables:
    return StepTables(pages, lengths, num_new, 16, torch.device("cpu"))


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
    state = LinearState(draw(batch, 3, channels), draw(batch, 4, 20, dim).float())
    out, after = operations.gated_delta_mix(weights, qkv, z, b, a, state)
    return [out, after.conv, after.recurrent]
