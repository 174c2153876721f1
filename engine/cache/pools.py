"""The tensors in which sequences are remembered on a device, and the copies that leave it.

Keys and values lie in pages that a sequence owns alone, recurrent states in slots; who owns which
is decided elsewhere (`pages.py` and the scheduler). A step sees them through PooledMemory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..attention.tables import Rows, StepSlots, StepTables, page_rows
from ..decoding.inputs import ChunkInputs, StepInputs
from ..layers.gated_delta import DeltaInputs, DeltaWeights, LinearState
from ..layers.operations import PLAIN, Operations, Turn
from ..models.memory import MemoryShape
from .place import Place


@dataclass(frozen=True, slots=True)
class KeyValues:
    """Host copy of the keys and values of a run of tokens, by layer: [tokens, kv heads, dim]."""

    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]

    def split(self, num_tokens: int) -> tuple[KeyValues, KeyValues]:
        """Copies of the first `num_tokens` and of the rest."""
        first = tuple((k[:num_tokens].clone(), v[:num_tokens].clone()) for k, v in self.layers)
        rest = tuple((k[num_tokens:].clone(), v[num_tokens:].clone()) for k, v in self.layers)
        return KeyValues(first), KeyValues(rest)


@dataclass(frozen=True, slots=True)
class States:
    """The linear-attention states of a sequence, by layer, on the host or the device."""

    layers: tuple[LinearState, ...]

    def on_host(self) -> States:
        """The copy itself, where it lies there."""
        return States(
            tuple(LinearState(s.conv.to("cpu"), s.recurrent.to("cpu")) for s in self.layers)
        )

    def is_close_to(self, other: States, tolerance: float) -> bool:
        """As a share of the largest number of each tensor. Waits for the device once."""
        are_close = [
            (a.float() - b.float()).abs().max() <= tolerance * b.float().abs().max()
            for mine, others in zip(self.layers, other.layers, strict=True)
            for a, b in ((mine.conv, others.conv), (mine.recurrent, others.recurrent))
        ]
        return not are_close or bool(torch.stack(are_close).all())


class Pools:
    """All sequences of one model on one device."""

    def __init__(
        self,
        shape: MemoryShape,
        dtype: torch.dtype,
        device: torch.device,
        *,
        num_pages: int,
        page_tokens: int,
        num_slots: int,
        operations: Operations = PLAIN,
    ) -> None:
        """Where nothing is remembered by a layer kind, its pages or slots cost nothing."""
        self.page_tokens = page_tokens
        self.operations = operations
        self.dtype = dtype
        self.device = device
        self.token_bytes = shape.token_bytes(dtype)
        self.state_bytes = shape.state_bytes(dtype)
        rows = num_pages * page_tokens
        self.keys_values = {
            layer: tuple(
                torch.empty(rows, each.kv_heads, each.head_dim, dtype=dtype, device=device)
                for _ in range(2)
            )
            for layer, each in shape.attention.items()
        }
        self.states = {
            layer: LinearState(
                torch.empty(num_slots, *each.conv, dtype=dtype, device=device),
                torch.empty(num_slots, *each.recurrent, dtype=torch.float32, device=device),
            )
            for layer, each in shape.linear.items()
        }

    def clear_state(self, slot: int) -> None:
        """The state before the first token."""
        for state in self.states.values():
            state.conv[slot].zero_()
            state.recurrent[slot].zero_()

    def clear_token(self, place: Place) -> None:
        """What is kept of the token behind those that a place counts."""
        rows = self.rows(place.pages, place.num_tokens, place.num_tokens + 1)
        for keys, values in self.keys_values.values():
            keys[rows], values[rows] = 0, 0

    def copy_out(self, place: Place, start: int, end: int) -> KeyValues:
        """Host copy of the tokens from `start` to `end`."""
        rows = self.rows(place.pages, start, end)
        return KeyValues(
            tuple((_copied(k[rows]), _copied(v[rows])) for k, v in self.keys_values.values())
        )

    def copy_in(self, place: Place, start: int, copy: KeyValues, num_tokens: int) -> None:
        """The first `num_tokens` of a copy to the tokens from `start` on."""
        rows = self.rows(place.pages, start, start + num_tokens)
        for (k, v), (copied_k, copied_v) in zip(
            self.keys_values.values(), copy.layers, strict=True
        ):
            k[rows] = copied_k[:num_tokens].to(self.device)
            v[rows] = copied_v[:num_tokens].to(self.device)

    def copy_states(self, slot: int) -> States:
        """A copy on the device, which nobody waits for."""
        return States(
            tuple(
                LinearState(state.conv[slot].clone(), state.recurrent[slot].clone())
                for state in self.states.values()
            )
        )

    def copy_states_out(self, slot: int) -> States:
        return States(
            tuple(
                LinearState(_copied(state.conv[slot]), _copied(state.recurrent[slot]))
                for state in self.states.values()
            )
        )

    def copy_states_in(self, slot: int, copy: States) -> None:
        for state, copied in zip(self.states.values(), copy.layers, strict=True):
            state.conv[slot] = copied.conv.to(self.device)
            state.recurrent[slot] = copied.recurrent.to(self.device)

    def rows(self, pages: Sequence[int], start: int, end: int) -> Rows:
        """Row indices of a sequence's tokens: a slice, so a view, where its pages follow on."""
        return page_rows(pages, start, end, self.page_tokens, self.device)


def _copied(x: torch.Tensor) -> torch.Tensor:
    """A host tensor of its own, never a view of a pool."""
    return x.to("cpu", copy=True)


class TabledMemory:
    """The step memory of models (`models/memory.py`) over pools, as some tables say.

    The sequences must have pages for the new tokens; whoever made this counts them afterwards.
    """

    def __init__(self, pools: Pools, tables: StepTables, slots: StepSlots) -> None:
        self._pools = pools
        self._tables = tables
        self._slots = slots

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
        kept = self._pools.states[layer]
        return self._pools.operations.mix_kept(weights, inputs, kept, self._slots)


class PooledMemory(TabledMemory):
    """`num_new` tokens for each place."""

    def __init__(
        self,
        pools: Pools,
        places: Sequence[Place],
        num_new: int,
        inputs: StepInputs | ChunkInputs | None = None,
    ) -> None:
        """`inputs` say the same of the places, where the device was told already."""
        slots = StepSlots([place.slot for place in places], pools.device)
        tables = StepTables(
            [place.pages for place in places], [place.num_tokens + num_new for place in places],
            num_new, pools.page_tokens, pools.device,
        )  # fmt: skip
        if inputs is not None:
            slots.numbers = inputs.slots
            tables.pages, tables.lengths = inputs.pages, inputs.lengths
        super().__init__(pools, tables, slots)
