"""Where the tokens of a step's sequences lie among the rows of a pool."""

from __future__ import annotations

from dataclasses import dataclass

import torch

# Row indices: a slice, so a view, where they follow on.
Rows = slice | torch.Tensor


@dataclass(frozen=True, slots=True)
class StepTables:
    """Of many sequences with one new token each, or one with many; new ones are a sequence's last.

    By rows: `rows` of all tokens of each sequence, `new` of the new tokens. By pages: `pages` int64
    [sequences, most pages] of `page_tokens` rows each, `lengths` int64 [sequences], in tokens.
    """

    rows: list[Rows]
    new: Rows
    pages: torch.Tensor
    lengths: torch.Tensor
    longest: int
    page_tokens: int
