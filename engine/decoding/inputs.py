"""What a decode step is told by the host: one tensor of numbers, and so one copy to the device.

A row for each sequence, which has one new token. Knows no model; who is in a step, others decide.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ..cache.place import Place

# Kernels load sixteen bytes at once from addresses of that kind, and are compiled for them apart.
_ALIGNED_NUMBERS = 2


class StepRow(NamedTuple):
    """A sequence's new token, its position for rotary, and where the sequence lives."""

    token_id: int
    position: int
    place: Place


class StepInputs(NamedTuple):
    """Views of one tensor, int64; a length counts the new token."""

    token_ids: torch.Tensor  # [rows, 1]
    positions: torch.Tensor  # [rows, 1]
    slots: torch.Tensor  # [rows]
    lengths: torch.Tensor  # [rows]
    pages: torch.Tensor  # [rows, most pages]


@dataclass(frozen=True, slots=True)
class StepLayout:
    """Where the inputs of so many rows lie, each with room for so many pages."""

    num_rows: int
    num_pages: int

    @property
    def _stride(self) -> int:
        return -(-self.num_rows // _ALIGNED_NUMBERS) * _ALIGNED_NUMBERS

    def pack(self, rows: Sequence[StepRow], page_tokens: int) -> array[int]:
        """The numbers as they lie there."""
        missing = self._stride - len(rows)
        numbers = array("q")
        for column in (
            [row.token_id for row in rows],
            [row.position for row in rows],
            [row.place.slot for row in rows],
            [row.place.num_tokens + 1 for row in rows],
        ):
            numbers.extend(column)
            numbers.extend([0] * missing)
        for row in rows:
            used = row.place.pages[: row.place.num_tokens // page_tokens + 1]
            numbers.extend(used)
            numbers.extend([0] * (self.num_pages - len(used)))
        return numbers

    def views(self, told: torch.Tensor) -> StepInputs:
        """Of a tensor that begins with packed numbers."""
        rows, stride = self.num_rows, self._stride
        columns = told[: 4 * stride].view(4, stride)[:, :rows]
        token_ids, positions, slots, lengths = columns.unbind()
        pages = told[4 * stride :][: rows * self.num_pages].view(rows, self.num_pages)
        return StepInputs(token_ids[:, None], positions[:, None], slots, lengths, pages)


def layout_of(rows: Sequence[StepRow], page_tokens: int) -> StepLayout:
    """The smallest for these rows."""
    longest = max(row.place.num_tokens for row in rows)
    return StepLayout(len(rows), longest // page_tokens + 1)


class Staging:
    """The way of numbers to a device, without anybody waiting for them to arrive."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # In turn: what was sent before may be on its way still.
        self._pinned, self._next = [torch.empty(0, dtype=torch.int64)] * 2, 0

    def send(self, numbers: array[int]) -> torch.Tensor:
        """int64 [numbers]: on a CPU the numbers themselves."""
        told = torch.frombuffer(numbers, dtype=torch.int64)
        if self._device.type == "cpu":
            return told
        if len(self._pinned[self._next]) < len(told):
            self._pinned[self._next] = torch.empty(2 * len(told), dtype=torch.int64).pin_memory()
        pinned = self._pinned[self._next][: len(told)]
        self._next = 1 - self._next
        return pinned.copy_(told).to(self._device, non_blocking=True)
