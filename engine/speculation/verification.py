"""The drafted tokens of one step, on their way to be taken or dropped.

What comes behind each of them was computed as if it were the answer's. One after the other they are
held against the token that is drawn in their place, just as it would be drawn without drafts: from
the first that differs on all are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ..cache.drafted import DraftedMemory
from ..sequence import Sequence


@dataclass(slots=True)
class _Draft:
    """Drafted behind the first `num_known` tokens; the first `num_taken` have been drawn."""

    token_ids: list[int]
    num_known: int
    num_taken: int = 0

    def takes_next(self, tokens: list[int]) -> bool:
        """Whether one more of them was drawn."""
        number = self.num_taken + 1
        drawn = tokens[self.num_known : self.num_known + number]
        if number > len(self.token_ids) or drawn != self.token_ids[:number]:
            return False
        self.num_taken = number
        return True


class Verification:
    """Draw from the scores behind a sequence's own token first, then from those `confirmed`."""

    def __init__(
        self,
        drafts: Mapping[Sequence, list[int]],
        rows: Mapping[Sequence, torch.Tensor],
        memory: DraftedMemory,
    ) -> None:
        """`rows` are the scores behind a sequence's own token and behind each drafted one: float32
        [1 + drafted, vocab].
        """
        self.rows = rows
        self._drafts = {s: _Draft(token_ids, len(s.tokens)) for s, token_ids in drafts.items()}
        self._memory = memory

    @property
    def num_drafted(self) -> int:
        return sum(len(draft.token_ids) for draft in self._drafts.values())

    @property
    def num_taken(self) -> int:
        return sum(draft.num_taken for draft in self._drafts.values())

    @property
    def num_foreseen(self) -> tuple[int, int]:
        """Drafted and taken, of those that a draft head said."""
        drafts = [
            draft
            for sequence, draft in self._drafts.items()
            if sequence.foreseen is not None and sequence.foreseen.is_computed
        ]
        return sum(len(draft.token_ids) for draft in drafts), sum(d.num_taken for d in drafts)

    @property
    def alive(self) -> list[Sequence]:
        """Whose answers go on."""
        return [sequence for sequence in self._drafts if sequence.slot is not None]

    def confirmed(self) -> dict[Sequence, torch.Tensor]:
        """The scores behind drafted tokens that were drawn just now, which count as computed."""
        found: dict[Sequence, torch.Tensor] = {}
        for sequence, draft in self._drafts.items():
            # The last token of an answer may have been drafted, too.
            if draft.takes_next(sequence.tokens) and sequence.slot is not None:
                sequence.num_computed += 1
                found[sequence] = self.rows[sequence][draft.num_taken]
        return found

    def commit(self) -> None:
        """Let states go through what was taken: before that they may not be asked for."""
        alive = self.alive
        self._memory.commit([1 + d.num_taken if s in alive else 0 for s, d in self._drafts.items()])
