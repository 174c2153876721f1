"""The memory of a decode step in which some sequences have drafted tokens behind their next one.

Every token is a row of the batch, computed as if it came alone, so that its bits are what they
would be then. Keys and values of drafts lie behind those that count, in pages that are the
sequence's own: what is dropped is never read, and written over. States know nothing of drafts: a
layer computes them on a copy, and once it is known which are taken, the state itself goes through
those again (replay). That costs one more pass over it and no room for a state behind every draft,
and there is no moment at which a state could be one that is not the answer's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from ..attention.tables import StepTables
from ..layers.gated_delta import DeltaInputs, DeltaWeights, LinearState, move_on
from ..layers.operations import Turn
from .place import Place
from .pools import PooledMemory, Pools


class DraftedMemory:
    """A step memory of models: a row for each sequence without drafts, then those of the others."""

    def __init__(
        self, pools: Pools, plain: Sequence[Place], drafted: Sequence[tuple[Place, int]]
    ) -> None:
        """With each place of `drafted` how many rows it has: its next token's, and its drafts'."""
        self._pools = pools
        self._plain = PooledMemory(pools, plain, 1) if plain else None
        self._plain_rows = slice(len(plain))
        self._drafted: list[tuple[int, slice]] = []
        pages = [place.pages for place in plain]
        lengths = [place.num_tokens + 1 for place in plain]
        for place, num_rows in drafted:
            self._drafted.append((place.slot, slice(len(pages), len(pages) + num_rows)))
            pages += [place.pages] * num_rows
            lengths += range(place.num_tokens + 1, place.num_tokens + 1 + num_rows)
        self._tables = StepTables(pages, lengths, 1, pools.page_tokens, pools.device)
        self._mixed: dict[int, tuple[DeltaWeights, DeltaInputs]] = {}

    def attend(
        self,
        layer: int,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        turn: Turn,
        scale: float,
    ) -> torch.Tensor:
        keys, values = self._pools.keys_values[layer]
        operations = self._pools.operations
        return operations.turn_and_attend(q, k, v, turn, keys, values, self._tables, scale)

    def mix(self, layer: int, weights: DeltaWeights, inputs: DeltaInputs) -> torch.Tensor:
        self._mixed[layer] = weights, inputs
        outs: list[torch.Tensor] = []
        if self._plain is not None:
            outs.append(self._plain.mix(layer, weights, inputs.rows(self._plain_rows)))
        kept = self._pools.states[layer]
        for slot, rows in self._drafted:
            copy = LinearState(kept.conv[slot, None].clone(), kept.recurrent[slot, None].clone())
            out, _ = self._pools.operations.gated_delta_steps(
                weights, inputs.rows(rows).as_tokens(), copy
            )
            outs.append(out.transpose(0, 1))
        return torch.cat(outs)

    def commit(self, num_taken: Sequence[int]) -> None:
        """Move states on by so many rows of each place of `drafted`; 0 for one that is gone."""
        steps = self._pools.operations.gated_delta_steps
        for layer, (weights, inputs) in self._mixed.items():
            for (slot, rows), count in zip(self._drafted, num_taken, strict=True):
                if count:
                    taken = inputs.rows(slice(rows.start, rows.start + count)).as_tokens()
                    kept = self._pools.states[layer]
                    move_on(kept, slice(slot, slot + 1), partial(steps, weights, taken))
