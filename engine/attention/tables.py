"""Where a step's sequences lie: their tokens among the rows of a pool, their states among slots."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

import torch

# Row indices: a slice, so a view, where they follow on.
Rows = slice | torch.Tensor


class StepTables:
    """Of many sequences with one new token each, or one with many; new ones are a sequence's last.

    By rows and by pages: whoever attends reads one of them, and the other is never made.
    """

    def __init__(
        self,
        pages: Sequence[Sequence[int]],
        lengths: Sequence[int],
        num_new: int,
        page_tokens: int,
        device: torch.device,
    ) -> None:
        """The pages of each sequence, more than it has tokens for perhaps, and its length."""
        self._pages = pages
        self._lengths = lengths
        self._num_new = num_new
        self._device = device
        self.page_tokens = page_tokens
        self.longest = max(lengths)

    @cached_property
    def pages(self) -> torch.Tensor:
        """int64 [sequences, most pages]."""
        used = [
            pages[: -(-length // self.page_tokens)]
            for pages, length in zip(self._pages, self._lengths, strict=True)
        ]
        most = max(map(len, used))
        padded = [[*pages, *[0] * (most - len(pages))] for pages in used]
        return torch.tensor(padded, device=self._device)

    @cached_property
    def lengths(self) -> torch.Tensor:
        """int64 [sequences], in tokens."""
        return torch.tensor(self._lengths, device=self._device)

    @cached_property
    def rows(self) -> list[Rows]:
        """Of all tokens of each sequence."""
        return [self._rows(i, 0) for i in range(len(self._pages))]

    @cached_property
    def new(self) -> Rows:
        """Of the new tokens of all."""
        new = [self._rows(i, length - self._num_new) for i, length in enumerate(self._lengths)]
        if len(new) == 1:
            return new[0]
        return torch.cat([_indices(each, self._device) for each in new])

    def _rows(self, sequence: int, start: int) -> Rows:
        end = self._lengths[sequence]
        run = _run(self._pages[sequence], start, end, self.page_tokens)
        return _spread(self.pages[sequence], start, end, self.page_tokens) if run is None else run


class StagedTables(StepTables):
    """Of one new token each, in tensors alone: the host knows but how long a sequence may be."""

    def __init__(
        self, pages: torch.Tensor, lengths: torch.Tensor, longest: int, page_tokens: int
    ) -> None:
        """pages [sequences, most pages]; lengths [sequences], 0 for padding."""
        self.pages, self.lengths = pages, lengths
        self.longest, self.page_tokens = longest, page_tokens

    @cached_property
    def rows(self) -> list[Rows]:
        raise OnlyOnDevice("rows of pools are looked for on the host")

    @cached_property
    def new(self) -> Rows:
        raise OnlyOnDevice("rows of new tokens are looked for on the host")


class OnlyOnDevice(Exception):
    """An operation asked the host for what it was not told."""


def page_rows(
    pages: Sequence[int], start: int, end: int, page_tokens: int, device: torch.device
) -> Rows:
    """Of the tokens from `start` to `end` of a sequence with these pages."""
    run = _run(pages, start, end, page_tokens)
    if run is not None:
        return run
    return _spread(torch.tensor(pages, device=device), start, end, page_tokens)


def _run(pages: Sequence[int], start: int, end: int, page_tokens: int) -> slice | None:
    """The rows of these tokens, where their pages follow on."""
    first = start // page_tokens
    used = pages[first : -(-end // page_tokens)]
    if any(b != a + 1 for a, b in pairwise(used)):
        return None
    base = (used[0] - first) * page_tokens if used else 0
    return slice(base + start, base + end)


def _spread(pages: torch.Tensor, start: int, end: int, page_tokens: int) -> torch.Tensor:
    """The same wherever the pages [pages] are: on their device, since tokens may be many."""
    at = torch.arange(start, end, device=pages.device)
    return pages[at // page_tokens] * page_tokens + at % page_tokens


def _indices(rows: Rows, device: torch.device) -> torch.Tensor:
    return torch.arange(rows.start, rows.stop, device=device) if isinstance(rows, slice) else rows


class StepSlots:
    """The slots of a step's sequences, as an index and as numbers: one of them is read."""

    def __init__(self, slots: Sequence[int], device: torch.device) -> None:
        self._slots = slots
        self._device = device

    @cached_property
    def rows(self) -> Rows:
        if all(b == a + 1 for a, b in pairwise(self._slots)):
            return slice(self._slots[0], self._slots[-1] + 1)
        return self.numbers

    @cached_property
    def numbers(self) -> torch.Tensor:
        """int64 [sequences]."""
        return torch.tensor(self._slots, device=self._device)


class StagedSlots(StepSlots):
    """In a tensor alone; negative for padding."""

    def __init__(self, numbers: torch.Tensor) -> None:
        """[sequences]."""
        self.numbers = numbers

    @cached_property
    def rows(self) -> Rows:
        raise OnlyOnDevice("slots are looked for on the host")
