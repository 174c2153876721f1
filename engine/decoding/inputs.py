"""What a step is told by the host: one tensor of numbers, and so one copy to the device.

Of a decode step a row for each sequence, which has one new token; of a prompt's chunk one sequence,
which has many. Knows no model; who is in a step, others decide.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from ..cache.place import Place
from ..sampling.wishes import ANY_TOKEN, NUM_WISHES, RowWishes, pack_wishes

if TYPE_CHECKING:
    from ..sequence import Sequence

# Kernels load sixteen bytes at once from addresses of that kind, and are compiled for them apart.
_ALIGNED_NUMBERS = 2


class StepRow(NamedTuple):
    """A sequence's new token, its position for rotary, and where the sequence lives. A token that
    only the device knows is told by the row that drew it in the step before: -1 is the first row.
    """

    token_id: int
    position: int
    place: Place


class StepInputs(NamedTuple):
    """Views of one tensor, int64 but for the wishes, which are int32. A length counts the new
    token.
    """

    token_ids: torch.Tensor  # [rows, 1]
    positions: torch.Tensor  # [rows, 1]
    slots: torch.Tensor  # [rows]
    lengths: torch.Tensor  # [rows]
    wishes: torch.Tensor  # [rows, wishes]; [0, wishes] where no tokens are drawn
    pages: torch.Tensor  # [rows, most pages]


@dataclass(frozen=True, slots=True)
class StepLayout:
    """Where the inputs of so many rows lie, each with room for so many pages."""

    num_rows: int
    num_pages: int
    draws: bool = False

    @property
    def _stride(self) -> int:
        return aligned(self.num_rows)

    @property
    def _wish_numbers(self) -> int:
        """An int64 holds two wishes."""
        return aligned(-(-self.num_rows * NUM_WISHES // 2)) if self.draws else 0

    @property
    def size(self) -> int:
        return 4 * self._stride + self._wish_numbers + self.num_rows * self.num_pages

    def pack(
        self, rows: list[StepRow], page_tokens: int, wishes: list[RowWishes] | None = None
    ) -> array[int]:
        """The numbers as they lie there. Rows that are missing are padding: they have no slot and
        no tokens, and nothing is kept of them.
        """
        missing = self._stride - len(rows)
        numbers = array("q")
        for column, padding in (
            ([row.token_id for row in rows], 0),
            ([row.position for row in rows], 0),
            ([row.place.slot for row in rows], -1),
            ([row.place.num_tokens + 1 for row in rows], 0),
        ):
            numbers.extend(column)
            numbers.extend([padding] * missing)
        if self.draws:
            known = wishes or []
            told = pack_wishes([*known, *[ANY_TOKEN] * (self.num_rows - len(known))])
            numbers.frombytes(told.ljust(self._wish_numbers * numbers.itemsize, b"\0"))
        for row in rows:
            used = row.place.pages[: row.place.num_tokens // page_tokens + 1]
            numbers.extend(used)
            _fill(numbers, self.num_pages - len(used))
        _fill(numbers, self.size - len(numbers))
        return numbers

    def views(self, told: torch.Tensor) -> StepInputs:
        """Of a tensor that begins with packed numbers."""
        rows, stride = self.num_rows, self._stride
        columns = told[: 4 * stride].view(4, stride)[:, :rows]
        token_ids, positions, slots, lengths = columns.unbind()
        packed = told[4 * stride : self.size]
        wishes = packed[: self._wish_numbers].view(torch.int32)[: rows * NUM_WISHES]
        pages = packed[self._wish_numbers :].view(rows, self.num_pages)
        return StepInputs(
            token_ids[:, None], positions[:, None], slots, lengths, wishes.view(-1, NUM_WISHES),
            pages,
        )  # fmt: skip


def _fill(numbers: array[int], count: int) -> None:
    numbers.frombytes(bytes(count * numbers.itemsize))


def step_row(sequence: Sequence, drawn_in: int | None = None) -> StepRow:
    """A sequence's next token: known, or just drawn in that row of the step before."""
    at = sequence.num_computed
    token_id = sequence.tokens[at] if drawn_in is None else -1 - drawn_in
    return StepRow(token_id, at + sequence.positions.delta, sequence.place())


def layout_of(rows: list[StepRow], page_tokens: int) -> StepLayout:
    """The smallest for these rows, to be computed and not drawn."""
    longest = max(row.place.num_tokens for row in rows)
    return StepLayout(len(rows), longest // page_tokens + 1)


def aligned(count: int) -> int:
    return -(-count // _ALIGNED_NUMBERS) * _ALIGNED_NUMBERS


class ChunkInputs(NamedTuple):
    """Of a prompt's chunk: views of one tensor, int64. The length counts the new tokens."""

    token_ids: torch.Tensor  # [tokens]
    positions: torch.Tensor  # [3, 1, tokens]
    behind: torch.Tensor  # [1], the token behind them, where it is known; else the last of them
    slots: torch.Tensor  # [1]
    lengths: torch.Tensor  # [1]
    pages: torch.Tensor  # [1, pages]


def send_chunk(sequence: Sequence, end: int, page_tokens: int, staging: Staging) -> ChunkInputs:
    """What is known of a sequence from what is computed of it up to `end`."""
    place, start = sequence.place(), sequence.num_computed
    columns = (
        array("q", sequence.tokens[start:end]),
        array("q", sequence.positions.between(start, end).tobytes()),
        array("q", [sequence.tokens[min(end, len(sequence.tokens) - 1)]]),
        array("q", [place.slot]),
        array("q", [end]),
        array("q", place.pages[: -(-end // page_tokens)]),
    )
    numbers = array("q")
    starts: list[int] = []
    for column in columns:
        starts.append(len(numbers))
        numbers.extend(column)
        _fill(numbers, aligned(len(column)) - len(column))
    told = staging.send(numbers)
    token_ids, positions, behind, slots, lengths, pages = (
        told[at : at + len(column)] for at, column in zip(starts, columns, strict=True)
    )
    return ChunkInputs(
        token_ids, positions.view(3, 1, -1), behind, slots, lengths, pages[None],
    )  # fmt: skip


class Staging:
    """The way of numbers to a device, without anybody waiting for them to arrive."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def send(self, numbers: array[int], to: torch.Tensor | None = None) -> torch.Tensor:
        """int64 [numbers]: the beginning of `to`, where that is given; without it, on a CPU, the
        numbers themselves.
        """
        return self.send_tensor(torch.frombuffer(numbers, dtype=torch.int64), to)

    def send_tensor(self, told: torch.Tensor, to: torch.Tensor | None = None) -> torch.Tensor:
        """The same of int64 [numbers]; they are not to be changed afterwards."""
        if self._device.type != "cpu":
            # Steps that draw no token are not waited for: many may be on their way at once. torch
            # gives pinned memory to nobody else before what was copied from it has arrived.
            told = told.pin_memory()
        if to is not None:
            return to[: len(told)].copy_(told, non_blocking=True)
        return told.to(self._device, non_blocking=True)
