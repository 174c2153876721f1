"""Layers that begin with several linear maps of one input.

Each map is a layer of its own, with the published name; whoever prepares a model for a processor
may put one product in the place of them all, which reads its weights in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, cast

import torch
from torch import nn

# A product of weight [out, in] and bias [out]; None where none is to be had.
MakeProduct = Callable[[torch.Tensor, torch.Tensor | None], nn.Module | None]


class SideBySide(nn.Module):
    """A layer whose linear maps `names` are all given the same input, and all or none a bias."""

    names: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        super().__init__()
        self._joined: nn.Module | None = None
        self._sizes: list[int] = []

    def project(self, x: torch.Tensor) -> Sequence[torch.Tensor]:
        """[..., in] to one [..., out] for each name."""
        if self._joined is None:
            return [cast(nn.Module, getattr(self, name))(x) for name in self.names]
        joined = cast(torch.Tensor, self._joined(x))
        return cast("tuple[torch.Tensor, ...]", joined.split(self._sizes, dim=-1))

    def maps(self) -> list[nn.Linear]:
        """The linear maps, as long as they are not joined."""
        return [cast(nn.Linear, getattr(self, name)) for name in self.names]

    def join(self, make_product: MakeProduct) -> None:
        """Put one product in the place of the maps, if there is one."""
        maps = self.maps()
        weights: list[torch.Tensor] = [each.weight for each in maps]
        biases = [cast("torch.Tensor | None", each.bias) for each in maps]
        given = [bias for bias in biases if bias is not None]
        product = make_product(torch.cat(weights), torch.cat(given) if given else None)
        if product is None:
            return
        self._joined, self._sizes = product, [each.out_features for each in maps]
        for name in self.names:
            delattr(self, name)
