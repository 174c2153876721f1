"""Weights in the panels of `c/panels.h`: read once from end to end, whatever the number of rows.

A row's result has the same bits in any company: its sums are taken column by column, always.
"""

from __future__ import annotations

import torch
from torch import nn

from .library import Library


def panels_bytes(library: Library, shape: torch.Size, dtype: torch.dtype) -> int:
    """What the panels of a weight [out, in] take: the last one is full too."""
    num_panels = -(-shape[0] // library.panel_rows)
    return num_panels * library.panel_rows * shape[1] * dtype.itemsize


class PanelLinear(nn.Module):
    """x @ weight.T + bias, as nn.Linear has it; without grad. Keeps the panels, not the weight."""

    def __init__(self, library: Library, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """weight [out, in], in a multiple of the library's step."""
        super().__init__()
        weight = weight.contiguous()
        self.out_features, self.in_features = weight.shape
        self.panel_rows, self.step = library.panel_rows, library.step
        num_panels = -(-self.out_features // self.panel_rows)
        self.panels = torch.empty(
            num_panels, self.in_features * self.panel_rows, dtype=weight.dtype
        )
        self._bias = None if bias is None else bias.to(weight.dtype).contiguous()
        self._product = library.functions.product
        self._threads = torch.get_num_threads()
        library.functions.pack(
            weight.data_ptr(), self.out_features, self.in_features,
            self.panels.data_ptr(), self._threads,
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., in features] to [..., out features]."""
        if x.dtype != self.panels.dtype or x.shape[-1] != self.in_features:
            raise ValueError(f"{x.dtype} [..., {x.shape[-1]}] for {self}")
        rows = x.reshape(-1, self.in_features).contiguous()
        y = torch.empty(*x.shape[:-1], self.out_features, dtype=x.dtype)
        self._product(
            rows.data_ptr(), self.panels.data_ptr(),
            None if self._bias is None else self._bias.data_ptr(), y.data_ptr(),
            rows.shape[0], self.in_features, self.out_features, self._threads,
        )  # fmt: skip
        return y

    def extra_repr(self) -> str:
        return f"{self.in_features} to {self.out_features}, in panels of {self.panel_rows} rows"


class PanelEmbedding(nn.Module):
    """The rows of a head's weight, looked up in its panels."""

    def __init__(self, head: PanelLinear) -> None:
        super().__init__()
        # [panels, in / step, rows of a panel, step]
        panels = head.panels.view(len(head.panels), -1, head.panel_rows, head.step)
        self.panels = nn.Parameter(panels, requires_grad=False)

    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        """[...] token ids to [..., hidden]."""
        panel_rows = self.panels.shape[2]
        panel = token_ids.div(panel_rows, rounding_mode="floor")
        return self.panels[panel, :, token_ids % panel_rows].flatten(-2)
