"""How many rows a matrix product is given at a time, so that a row's result is its own.

A library may choose another order of summation for another number of rows; then the same token
gets other last bits when it is batched with strangers. A RowRule pads or splits the rows so that
only one order is ever chosen. Which rule a product needs is found by trial, on the processor that
will run it: rules are tried from the cheapest on, and the last holds by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

# [rows, in] to [rows, out], each row from the same row alone
Product = Callable[[torch.Tensor], torch.Tensor]

# Row counts at which libraries were seen to change their ways are the small ones and the edges of
# blocks; every count is tried at both ends of the trial rows.
_TRIAL_COUNTS = (1, 2, 3, 5, 8, 17, 33)
_TRIAL_ROWS = 65


@dataclass(frozen=True, slots=True)
class RowRule:
    """Fewer rows than `at_least_rows` are padded to it; `block_rows` also makes every call that."""

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
        blocks = _padded(rows, num_blocks * self.block_rows).split(self.block_rows)
        return torch.cat([product(block) for block in blocks])[:num_rows]


AS_THEY_COME = RowRule()
_BY_COST = (
    AS_THEY_COME,
    RowRule(at_least_rows=2),
    RowRule(at_least_rows=4),
    RowRule(at_least_rows=8),
    RowRule(at_least_rows=16),
    RowRule(block_rows=16),
)
_ONE_BY_ONE = RowRule(block_rows=1)


def exact_rule(product: Product, in_features: int, dtype: torch.dtype) -> RowRule:
    """The cheapest rule under which no trial row depends on its neighbours or their number."""
    # Drawn in float32: the same numbers for every dtype. The seed is any; it never changes.
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(_TRIAL_ROWS, in_features, generator=generator).to(dtype)
    return next((rule for rule in _BY_COST if _is_exact(rule, product, rows)), _ONE_BY_ONE)


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
    return functional.pad(rows, (0, 0, 0, num_rows - rows.shape[0]))
