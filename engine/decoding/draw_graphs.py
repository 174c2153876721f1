"""Tokens drawn beside a step, most of them under a grammar's mask, as one graph.

For rows whose masks are made while the step computes, or that have waited for one. All that the
host says of them lies in one tensor, masks among it, and arrives at once; a graph is tried before
it is believed, as those of steps are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch

from ..sampler import DrawUsual, SamplingRow
from ..sampling.wishes import (
    ANY_TOKEN,
    NUM_WISHES,
    DrawTokens,
    RowWishes,
    Truncations,
    truncations_of,
    wishes_of,
)
from .graphs import Capture, Graphs, Replayable
from .inputs import Staging, aligned
from .keys import bucket

# Of more rows launches are the smaller part, and their scores would take too much memory.
_MOST_ROWS = 16
# What no draw gives.
_UNDRAWN = -2


@dataclass(frozen=True, slots=True)
class DrawKey:
    """All that the host decides of a draw's launches."""

    num_rows: int
    truncations: Truncations
    has_masks: bool


class _Told(NamedTuple):
    """Views of one tensor. Without masks there is a word that nobody looks at."""

    wishes: torch.Tensor  # int32 [rows, wishes]
    masks: torch.Tensor  # int32 [rows, vocab / 32, rounded up], or [1, 1]


class DrawGraphs:
    """Those of one model on one device. See DrawUsual."""

    def __init__(
        self,
        draw_usual: DrawUsual,
        draw_tokens: DrawTokens,
        capture: Capture,
        vocab_tokens: int,
        most_rows: int,
        device: torch.device,
    ) -> None:
        """`draw_usual` draws the same, launch by launch. No more than `most_rows` are asked for."""
        self._draw_usual = draw_usual
        self._draw_tokens = draw_tokens
        self.graphs: Graphs[DrawKey] = Graphs(capture)
        self._num_words = -(-vocab_tokens // 32)
        self._staging = Staging(device)
        # What graphs read and write stays in its place.
        num_rows = min(bucket(most_rows) or _MOST_ROWS, _MOST_ROWS)
        self._scores = torch.zeros(num_rows, vocab_tokens, device=device)
        self._drawn = torch.empty(num_rows, dtype=torch.int64, device=device)
        largest = DrawKey(num_rows, Truncations(True, True, True), has_masks=True)
        self._told = torch.empty(self._size(largest), dtype=torch.int64, device=device)

    def __call__(self, logits: torch.Tensor, rows: Sequence[SamplingRow]) -> torch.Tensor:
        num_rows = bucket(len(rows))
        if num_rows is None or num_rows > _MOST_ROWS or not self.graphs.are_on:
            return self._draw_usual(logits, rows)
        has_masks = any(row.mask is not None for row in rows)
        key = DrawKey(num_rows, truncations_of([row.sampling for row in rows]), has_masks)
        self._scores[: len(rows)].copy_(logits)
        self._tell(key, rows)
        graph = self.graphs.find(key)
        if graph is not None:
            graph.replay()
        else:
            self._draw(key)
            if self.graphs.is_due(key):
                self._try(key, rows)
        return self._drawn[: len(rows)]

    def _draw(self, key: DrawKey) -> None:
        told = self._views(key, self._told)
        scores = self._scores[: key.num_rows]
        drawn = self._draw_tokens(scores, told.masks, told.wishes, key.truncations)
        self._drawn[: key.num_rows].copy_(drawn)

    def _try(self, key: DrawKey, rows: Sequence[SamplingRow]) -> None:
        """Make the graph, of padding alone, and keep it if it draws for these rows what was drawn;
        which is what is drawn afterwards, whatever was found.
        """
        drawn = self._drawn[: len(rows)]
        # On the host: the device's memory may not reach for one number more.
        expected = cast("list[int]", drawn.tolist())

        def attempt() -> Replayable | None:
            self._tell(key, [])
            graph = self.graphs.capture(lambda: self._draw(key))
            self._tell(key, rows)
            self._drawn.fill_(_UNDRAWN)
            graph.replay()
            return graph if drawn.tolist() == expected else None

        self.graphs.try_out(key, attempt)
        drawn.copy_(torch.tensor(expected))

    def _tell(self, key: DrawKey, rows: Sequence[SamplingRow]) -> None:
        """Rows that are missing are padding: whose token nobody wants."""
        numbers = torch.zeros(self._size(key), dtype=torch.int64)
        told = self._views(key, numbers)
        wishes = [ANY_TOKEN] * key.num_rows
        for place, row in enumerate(rows):
            mask = -1 if row.mask is None else place
            wishes[place] = RowWishes(row.sampling, row.position, mask)
            if row.mask is not None:
                told.masks[place] = row.mask
        told.wishes.copy_(wishes_of(wishes))
        self._staging.send_tensor(numbers, self._told)

    def _size(self, key: DrawKey) -> int:
        """In int64."""
        return self._wish_numbers(key) + aligned(-(-self._num_mask_words(key) // 2))

    def _wish_numbers(self, key: DrawKey) -> int:
        return aligned(-(-key.num_rows * NUM_WISHES // 2))

    def _num_mask_words(self, key: DrawKey) -> int:
        return key.num_rows * self._num_words if key.has_masks else 1

    def _views(self, key: DrawKey, numbers: torch.Tensor) -> _Told:
        at = self._wish_numbers(key)
        wishes = numbers[:at].view(torch.int32)[: key.num_rows * NUM_WISHES]
        masks = numbers[at : self._size(key)].view(torch.int32)[: self._num_mask_words(key)]
        return _Told(
            wishes.view(-1, NUM_WISHES), masks.view(key.num_rows if key.has_masks else 1, -1)
        )
