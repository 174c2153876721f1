"""The Qwen3.5 vision tower: patches of pictures of any grid to rows in the language model's space.

Rows are in merge-block order everywhere: the 2x2 patches of one merged cell stand together,
cells in raster order. Attention stays within one image (and one temporal patch). Positions are a
learned square table, resampled bilinearly with aligned corners, plus 2-D rotary angles.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional

from ..layers.rotary import rotate, vision_cos_sin
from .qwen3_5_config import VisionConfig

Grid = tuple[int, int, int]


def merge_block_coordinates(grid: Grid, merge: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and column of every patch of a (time, rows, columns) grid, int64 [t * h * w] each."""
    times, height, width = grid
    rows = torch.arange(height)[:, None].expand(height, width)
    columns = torch.arange(width)[None, :].expand(height, width)

    def blocks(x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(height // merge, merge, width // merge, merge).transpose(1, 2)
        return x.reshape(-1).repeat(times)

    return blocks(rows), blocks(columns)


def resample_positions(table: torch.Tensor, grid: Grid, merge: int) -> torch.Tensor:
    """The position table [side * side, hidden] read at a grid's patches, [patches, hidden].

    Corners align: patch i of h lies at i * (side - 1) / (h - 1), and at 0 where h is 1.
    """
    side = round(table.shape[0] ** 0.5)
    rows, columns = merge_block_coordinates(grid, merge)

    def neighbours(index: torch.Tensor, count: int) -> tuple[torch.Tensor, ...]:
        at = index.float() * (side - 1) / max(1, count - 1)
        low = at.floor().long()
        return low, (low + 1).clamp(max=side - 1), at - low

    top, bottom, down = neighbours(rows, grid[1])
    left, right, across = neighbours(columns, grid[2])
    corners = (
        (top, left, (1 - down) * (1 - across)),
        (top, right, (1 - down) * across),
        (bottom, left, down * (1 - across)),
        (bottom, right, down * across),
    )
    device = table.device
    read = [
        table[(r * side + c).to(device)] * weight.to(device, table.dtype)[:, None]
        for r, c, weight in corners
    ]
    return read[0] + read[1] + read[2] + read[3]


class PatchEmbed(nn.Module):
    """A 3-D convolution whose kernel is its stride: one matrix product on flattened patches."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        kernel = (config.temporal_patch_size, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(3, config.hidden_size, kernel, stride=kernel)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        return functional.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


class VisionAttention(nn.Module):
    """Full attention within each run of patches (one image's temporal patch)."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, runs: list[tuple[int, int]]
    ) -> torch.Tensor:
        """x [patches, hidden]; runs: (patches in one run, consecutive runs of that size)."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).unbind(1)
        q = rotate(q.float(), cos, sin).to(v.dtype)
        k = rotate(k.float(), cos, sin).to(v.dtype)
        outs: list[torch.Tensor] = []
        start = 0
        for size, count in runs:
            end = start + size * count
            shape = (count, size, self.num_heads, -1)
            out = functional.scaled_dot_product_attention(
                q[start:end].reshape(shape).transpose(1, 2),
                k[start:end].reshape(shape).transpose(1, 2),
                v[start:end].reshape(shape).transpose(1, 2),
            )
            outs.append(out.transpose(1, 2).flatten(2).flatten(0, 1))
            start = end
        return self.proj(torch.cat(outs))


class VisionMLP(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.linear_fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.linear_fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear_fc2(functional.gelu(self.linear_fc1(x), approximate="tanh"))


class VisionBlock(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=1e-6)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=1e-6)
        self.attn = VisionAttention(config)
        self.mlp = VisionMLP(config)

    def forward(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, runs: list[tuple[int, int]]
    ) -> torch.Tensor:
        x = x + self.attn(self.norm1(x), cos, sin, runs)
        return x + self.mlp(self.norm2(x))


class PatchMerger(nn.Module):
    """Norm each patch, join the patches of a cell (with the exact GELU), and project."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.cell_size = config.hidden_size * config.merge_size**2
        self.norm = nn.LayerNorm(config.hidden_size, eps=1e-6)
        self.linear_fc1 = nn.Linear(self.cell_size, self.cell_size)
        self.linear_fc2 = nn.Linear(self.cell_size, config.out_hidden_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear_fc2(self.join(x))

    def join(self, x: torch.Tensor) -> torch.Tensor:
        """[patches, hidden] to [merged cells, cell size], which `linear_fc2` then projects."""
        cells = self.norm(x).view(-1, self.cell_size)
        return functional.gelu(self.linear_fc1(cells))


class VisionTower(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.pos_embed = nn.Embedding(config.num_positions, config.hidden_size)
        self.blocks = nn.ModuleList(VisionBlock(config) for _ in range(config.depth))
        self.merger = PatchMerger(config)

    def embed_patches(self, patches: torch.Tensor, grids: list[Grid]) -> torch.Tensor:
        """Patches with their learned positions, [patches, hidden]."""
        merge, table = self.config.merge_size, self.pos_embed.weight
        by_grid = {g: resample_positions(table, g, merge) for g in set(grids)}
        return self.patch_embed(patches) + torch.cat([by_grid[g] for g in grids])

    def rotary(self, grids: list[Grid], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """cos and sin for every patch, float32 [patches, 1, head dim]."""
        config = self.config
        head_dim = config.hidden_size // config.num_heads
        by_grid = {
            g: vision_cos_sin(*merge_block_coordinates(g, config.merge_size), head_dim)
            for g in set(grids)
        }
        cos = torch.cat([by_grid[g][0] for g in grids]).to(device)
        sin = torch.cat([by_grid[g][1] for g in grids]).to(device)
        return cos[:, None], sin[:, None]

    def forward(self, patches: torch.Tensor, grids: list[Grid]) -> torch.Tensor:
        """[patches, patch values] in merge-block order to [merged cells, out hidden]."""
        return self.merger(self._see(patches, grids))

    def look(self, patches: torch.Tensor, grids: list[Grid]) -> torch.Tensor:
        """All but the last projection: what of a tower stays as it is while a model learns it."""
        return self.merger.join(self._see(patches, grids))

    def _see(self, patches: torch.Tensor, grids: list[Grid]) -> torch.Tensor:
        x = self.embed_patches(patches, grids)
        cos, sin = self.rotary(grids, x.device)
        sizes = [h * w for t, h, w in grids for _ in range(t)]
        runs = [(size, len(list(group))) for size, group in itertools.groupby(sizes)]
        for block in self.blocks:
            x = block(x, cos, sin, runs)
        return x
