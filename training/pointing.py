"""Attention that is told where to look: one more loss, for a few heads, while reading is learnt.

An answer says what is right, and leaves it to the model to find where that stands: one cell of some
hundred, by nothing but a somewhat better guess of a letter. So one head of the last attention layer
is told which cells show the character that comes next, and three of a layer below are told where
a name that is asked for is printed, and for the values of the page where their key or row's name
and their column's head stand.

Supervised attention is known from translation: Liu, Utiyama, Finch and Sumita, 2016,
arXiv:1609.04186.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from cortex.engine.layers.attention import GroupedAttention
from cortex.engine.layers.rotary import rotate
from cortex.engine.models.qwen3_5 import DecoderLayer, LanguageModel
from training.places import Point

_FLOOR = 1e-6  # a share of nothing at all has no logarithm


@dataclass(frozen=True, slots=True)
class Points:
    """Points of a batch: rows, queries [points]; each pair is a point and a token to look at."""

    rows: torch.Tensor
    queries: torch.Tensor
    owners: torch.Tensor
    targets: torch.Tensor


def gathered(rows: Sequence[Sequence[Point]]) -> Points:
    """The points of each row of a batch, in one."""
    flat = [(row, point) for row, points in enumerate(rows) for point in points]
    pairs = [(owner, t) for owner, (_, point) in enumerate(flat) for t in point.targets]
    return Points(
        torch.tensor([row for row, _ in flat], dtype=torch.long),
        torch.tensor([point.query for _, point in flat], dtype=torch.long),
        torch.tensor([owner for owner, _ in pairs], dtype=torch.long),
        torch.tensor([target for _, target in pairs], dtype=torch.long),
    )


@dataclass(frozen=True, slots=True)
class Pointed:
    """Of answers to their characters, of values to the keys beside and the heads above them."""

    answers: Points
    questions: Points
    beside: Points
    above: Points


class Watch:
    """What the attention layers of a language model were given in its last forward pass."""

    def __init__(self, model: LanguageModel) -> None:
        self._given: dict[int, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}
        self._attentions: dict[int, GroupedAttention] = {}
        for layer in model.layers:
            assert isinstance(layer, DecoderLayer)
            if not layer.is_linear:
                self._attentions[layer.index] = layer.self_attn
                layer.self_attn.register_forward_pre_hook(self._take)

    def _take(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        x, cos, sin, layer, _ = given
        self._given[layer] = (x, cos, sin)

    def looked(self, layer: int, head: int, points: Points) -> torch.Tensor:
        """The share of a head's attention that is where it should be, [points]."""
        x, cos, sin = self._given[layer]
        shares = [
            _looked(self._attentions[layer], head, x[row], cos[row], sin[row], *of_row)
            for row, of_row in _by_row(points)
        ]
        return torch.cat(shares)

    def forget(self) -> None:
        self._given.clear()


def _by_row(points: Points) -> Iterator[tuple[int, tuple[torch.Tensor, ...]]]:
    """Queries, owners among them and targets of each row that has any; points come row by row."""
    for row in sorted(set(cast("list[int]", points.rows.tolist()))):
        numbers = (points.rows == row).nonzero()[:, 0]
        first, of_row = numbers[0], torch.isin(points.owners, numbers)
        yield row, (
            points.queries[numbers], points.owners[of_row] - first, points.targets[of_row],
        )  # fmt: skip


def _looked(
    attention: GroupedAttention,
    head: int,
    x: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    queries: torch.Tensor,
    owners: torch.Tensor,
    targets: torch.Tensor,
) -> torch.Tensor:
    """x [tokens, hidden]; the layer's own arithmetic for one head and some queries."""
    size = attention.head_dim
    q_weight = attention.q_proj.weight.view(-1, 1 + attention.has_gate, size, x.shape[-1])[head, 0]
    group = len(attention.q_proj.weight) // (1 + attention.has_gate) // len(attention.k_proj.weight)
    k_weight = attention.k_proj.weight.view(-1, size, x.shape[-1])[head // group]
    q, k = functional.linear(x[queries], q_weight), functional.linear(x, k_weight)
    assert attention.q_norm is not None and attention.k_norm is not None
    q = rotate(attention.q_norm(q)[:, None], cos[queries], sin[queries])[:, 0]
    k = rotate(attention.k_norm(k)[:, None], cos, sin)[:, 0]
    scores = (q @ k.T).float() * size**-0.5
    later = torch.arange(len(x), device=x.device) > queries[:, None]
    shares = scores.masked_fill(later, float("-inf")).softmax(-1)
    looked = torch.zeros(len(queries), device=x.device)
    return looked.index_add(0, owners, shares[owners, targets])


# Who is told, as layer and head of cortex-nano: those that looked there most before any was told.
_TOLD: dict[str, tuple[int, int]] = {
    "answers": (5, 1), "questions": (3, 3), "beside": (3, 2), "above": (3, 0),
}  # fmt: skip


def pointing_loss(watch: Watch, pointed: Pointed) -> tuple[torch.Tensor | None, dict[str, float]]:
    """How far from surely each told head looks where it should, in nats, and the shares to log."""
    losses: list[torch.Tensor] = []
    metrics: dict[str, float] = {}
    for name, (layer, head) in _TOLD.items():
        points: Points = getattr(pointed, name)
        if len(points.rows):
            looked = watch.looked(layer, head, points)
            losses.append(-(looked + _FLOOR).log().mean())
            metrics[name] = looked.mean().item()
    watch.forget()
    return (torch.stack(losses).sum() if losses else None), metrics
