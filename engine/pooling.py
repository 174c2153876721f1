"""A prompt's final hidden states, chunk by chunk, into one vector.

Sums are float32 whatever the model computes in, and follow the chunks of the prompt alone: the same
prompt gives the same bits in any company. Knows nothing of where the states come from.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from .types import Pooling

# Vectors shorter than this are left as they are: they have no direction to speak of.
_SHORTEST = 1e-12


class PooledStates:
    """What is kept of the states between chunks: one row."""

    def __init__(self, pooling: Pooling) -> None:
        self._pooling = pooling
        self._row: torch.Tensor | None = None  # float32 [hidden]: the last one, or the sum
        self._num_tokens = 0

    def add(self, hidden: torch.Tensor) -> None:
        """The next chunk's states [tokens, hidden]."""
        self._num_tokens += len(hidden)
        if self._pooling.mode == "last":
            self._row = hidden[-1].float()
        else:
            chunk = hidden.float().sum(0)
            self._row = chunk if self._row is None else self._row + chunk

    def vector(self) -> torch.Tensor:
        """Float32 [dimensions] of all that was added, which is at least one token."""
        assert self._row is not None, "there is no vector of nothing"
        row = self._row if self._pooling.mode == "last" else self._row / self._num_tokens
        row = row[: self._pooling.dimensions]
        if self._pooling.is_normalised:
            row = functional.normalize(row, dim=0, eps=_SHORTEST)
        return row


def float32_bytes(vector: torch.Tensor) -> bytes:
    """The values of a vector, lowest byte first."""
    return vector.cpu().numpy().astype("<f4").tobytes()
