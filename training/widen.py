"""Weights with a vision tower twice as wide that sees the same: `python -m training.widen`.

Net2Net (Chen, Goodfellow and Shlens, 2016): every feature and head is there twice, and who reads
them takes a part of each. The parts differ by noise that cancels, or the twins would learn alike
for ever. `nano.py` names the new width; training goes on with `--start-from` and a new head.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

from cortex.engine.weights import read_tensors

_TOWER = "model.visual."
_MERGED_PATCHES = 4
_QKV = 3
# Of the parts' difference, beside the deviation of what they are parts of.
_NOISE = 0.5


def widened(
    tensors: dict[str, torch.Tensor], generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Published names to tensors, the tower's twice as wide, its outputs as before."""
    return {
        name: _wide(name, tensor, generator) if name.startswith(_TOWER) else tensor
        for name, tensor in tensors.items()
    }


def _wide(name: str, tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if name.endswith("pos_embed.weight"):
        return torch.cat((tensor, tensor), dim=1)
    wide = tensor.float()
    if wide.ndim == 2:
        wide = _reads_twins(
            wide, _MERGED_PATCHES if "merger" in name and "fc1" in name else 1, generator
        )
    if "merger.linear_fc2" not in name:
        runs = wide.reshape(_QKV if ".qkv." in name else 1, -1, *wide.shape[1:])
        wide = torch.cat((runs, runs), dim=1).flatten(0, 1)
    return wide.to(tensor.dtype)


def _reads_twins(matrix: torch.Tensor, runs: int, generator: torch.Generator) -> torch.Tensor:
    """[out, in] to [out, 2 in] for inputs that stand twice in each of so many runs."""
    noise = torch.randn(matrix.shape, generator=generator) * matrix.std() * _NOISE
    parts = [(matrix / 2 + part).reshape(len(matrix), runs, -1) for part in (noise, -noise)]
    return torch.cat(parts, dim=2).flatten(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, help="a folder with model.safetensors")
    parser.add_argument("out", type=Path, help="the folder to write model.safetensors into")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    generator = torch.Generator().manual_seed(args.seed)
    wide = widened(read_tensors(args.weights / "model.safetensors"), generator)
    args.out.mkdir(parents=True, exist_ok=True)
    temporary = args.out / "model.safetensors.tmp"
    save_file(
        {name: t.contiguous() for name, t in wide.items()}, temporary, metadata={"format": "pt"}
    )
    os.replace(temporary, args.out / "model.safetensors")


if __name__ == "__main__":
    main()
