"""How many rows a matrix product is given at a time, so that a row's result is its own.

A library may choose another order of summation for another number of rows; then the same token
gets other last bits when it is batched with strangers. A RowRule pads or splits the rows so that
only one order is ever chosen. Which rule a product needs is found by trial, on the processor that
will run it: rules are tried from the cheapest on, and the last holds by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch.nn import functional

# [rows, in] to [rows, out], each row from the same row alone
Product = Callable[[torch.Tensor], torch.Tensor]

# Libraries change their ways at small numbers of rows and at the edges of their blocks.
_TRIAL_COUNTS = (1, 2, 3, 5, 8, 17, 33)
_TRIAL_ROWS = 65


@dataclass(frozen=True, slots=True)
class RowRule:
    """Fewer rows than `at_least_rows` are padded to it; `block_rows` makes every call that size."""

    at_least_rows: int = 1
    block_rows: int | None = None

    def apply(self, rows: torch.Tensor, product: Product) -> torch.Tensor:
        """The product of rows [rows, in], [rows, out], by this rule."""
        num_rows = rows.shape[0]
        if self.block_rows is None:
            if num_rows >= self.at_least_rows:
                return product(rows)
            return product(_padded(rows, self.at_least_rows))[:num_rows]
        num_blocks = -(-num_rows // self.block_rows)
        blocks = cast(
            "tuple[torch.Tensor, ...]",
            _padded(rows, num_blocks * self.block_rows).split(self.block_rows),
        )
        return torch.cat([product(block) for block in blocks])[:num_rows]


_ONE_BY_ONE = RowRule(block_rows=1)


def exact_rule(
    product: Product, in_features: int, dtype: torch.dtype, at_least_rows: int = 1
) -> RowRule:
    """The cheapest rule under which no trial row depends on its neighbours or their number.

    `at_least_rows` is the padding that costs nothing: every rule but the last has it or more.
    """
    # Drawn in float32: the same numbers for every dtype. The seed is any; it never changes.
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(_TRIAL_ROWS, in_features, generator=generator).to(dtype)
    rules = _by_cost(at_least_rows)
    return next((rule for rule in rules if _is_exact(rule, product, rows)), _ONE_BY_ONE)


def _by_cost(at_least_rows: int) -> list[RowRule]:
    more = [RowRule(count) for count in (2, 4, 8, 16) if count > at_least_rows]
    return [RowRule(at_least_rows), *more, RowRule(block_rows=16)]


def _is_exact(rule: RowRule, product: Product, rows: torch.Tensor) -> bool:
    together = rule.apply(rows, product)
    return all(
        torch.equal(
            rule.apply(rows[start : start + count], product), together[start : start + count]
        )
        for count in _TRIAL_COUNTS
        for start in (0, len(rows) - count)
    )


def _padded(rows: torch.Tensor, num_rows: int) -> torch.Tensor:
    if rows.shape[0] == 1:
        return rows.expand(num_rows, -1)  # the same row again: nothing is copied here
    return functional.pad(rows, (0, 0, 0, num_rows - rows.shape[0]))
