"""Whether our kernels compute what torch does, tried on small tensors.

A compiler may be wrong, and so may what we know of a processor: kernels made on a machine are
believed after this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn

from ..attention.tables import StepTables
from ..layers.gated_delta import DeltaWeights, LinearState
from ..layers.operations import PLAIN, NormWeights, Operations
from .library import Library
from .native import NativeOperations
from .panels import PanelLinear

# Of the largest value: some roundings of the dtype, as the ways to the same sum differ.
_TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 4e-2}


def differences(library: Library) -> list[str]:
    """The names of those that differ from torch's."""
    dtype, linear = library.dtype, partial(PanelLinear, library)
    with torch.inference_mode():
        plain = dict(_results(PLAIN, dtype))
        ours = dict(_results(NativeOperations(library), dtype))
        if library.panel_rows:
            plain["product"], ours["product"] = (
                _products(_plain_linear, dtype),
                _products(linear, dtype),
            )
    return [name for name in plain if not _agree(ours[name], plain[name], _TOLERANCES[dtype])]


def _products(
    linear: Callable[[torch.Tensor, torch.Tensor], nn.Module], dtype: torch.dtype
) -> list[torch.Tensor]:
    """Of one row, of as many as fill no block, and of more than a thread takes at a time."""
    generator = torch.Generator().manual_seed(0)
    weight, bias, x = (
        torch.randn(*n, generator=generator).to(dtype) for n in ((150, 70), (150,), (61, 70))
    )
    layer = linear(weight, bias)
    return [layer(x[:count]) for count in (1, 5, 61)]


def _plain_linear(weight: torch.Tensor, bias: torch.Tensor) -> nn.Module:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data, layer.bias.data = weight, bias
    return layer


def _agree(ours: list[torch.Tensor], plain: list[torch.Tensor], tolerance: float) -> bool:
    return all(
        bool((a.float() - b.float()).abs().max() <= tolerance * b.float().abs().max())
        for a, b in zip(ours, plain, strict=True)
    )


def _results(
    operations: Operations, dtype: torch.dtype
) -> Iterator[tuple[str, list[torch.Tensor]]]:
    """Each operation's results on the same random tensors, with sizes that are no round numbers."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(dtype)

    norm = NormWeights(draw(36), 1.0, 1e-6)
    yield "rms_norm", [operations.rms_norm(draw(3, 2, 36), norm)]
    gate, up = draw(3, 1, 100).chunk(2, dim=-1)
    yield "silu_times", [operations.silu_times(gate, up)]
    angles = draw(3, 2, 1, 10).repeat(1, 1, 1, 2)
    heads = draw(3, 2, 4 * 72).view(3, 2, 4, 72)[..., :36]
    yield "norm_rotate", [operations.norm_rotate(heads, norm, angles.cos(), angles.sin())]
    queries, new, stored = draw(2, 1, 6, 36), draw(2, 2, 1, 3, 36), draw(2, 160, 3, 36)
    yield "attend_step", _steps(operations, queries, new, stored)
    queries, new, stored = draw(1, 70, 6, 36), draw(2, 1, 70, 3, 36), draw(2, 160, 3, 36)
    yield "attend_chunk", _chunk(operations, queries, new, stored)
    weights = DeltaWeights(
        draw(192, 4), draw(4).float(), draw(4), draw(28).float(), 1e-6, 2, 4, 20, 28
    )
    for batch, tokens in ((3, 1), (1, 6)):
        joined = draw(batch, tokens, 192 + 112 + 4 + 4)
        qkv, z, b, a = joined.tensor_split((192, 304, 308), dim=-1)
        state = LinearState(draw(batch, 3, 192), draw(batch, 4, 20, 28).float())
        out, after = operations.gated_delta_mix(weights, qkv, z, b, a, state)
        yield f"gated_delta_mix of {tokens}", [out, after.conv, after.recurrent]


def _steps(
    operations: Operations, q: torch.Tensor, new: torch.Tensor, stored: torch.Tensor
) -> list[torch.Tensor]:
    """Two sequences of 70 and 5 tokens, in pages of 16 that do not follow each other."""
    tables = _tables([[1, 3, 5, 7, 9], [2, 0, 0, 0, 0]], [70, 5], 1)
    out = operations.attend_step(q, new[0], new[1], stored[0], stored[1], tables, 0.2)
    return [out, stored]


def _chunk(
    operations: Operations, q: torch.Tensor, new: torch.Tensor, stored: torch.Tensor
) -> list[torch.Tensor]:
    """A sequence of 150 tokens, the last 70 of them new."""
    tables = _tables([[4, 1, 3, 5, 7, 9, 8, 2, 6, 0]], [150], 70)
    out = operations.attend_chunk(q, new[0], new[1], stored[0], stored[1], tables, 0.2)
    return [out, stored]


def _tables(pages: list[list[int]], lengths: list[int], num_new: int) -> StepTables:
    """Of sequences in pages of 16 tokens."""
    rows = [
        [own[i // 16] * 16 + i % 16 for i in range(length)]
        for own, length in zip(pages, lengths, strict=True)
    ]
    return StepTables(
        [torch.tensor(each) for each in rows],
        torch.tensor([row for each in rows for row in each[-num_new:]]),
        torch.tensor(pages), torch.tensor(lengths), max(lengths), 16,
    )  # fmt: skip
