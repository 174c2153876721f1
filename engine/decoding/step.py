"""The decode step of one model, drawing included, as a function of tensors that stay in place.

Nothing of it is decided by the host but what its key says, and nothing waits for the device. So
its launches can be recorded, and launched again for other sequences. Rows of padding leave no
trace: they have no slot, and no tokens.
"""

from __future__ import annotations

from typing import cast

import torch

from ..attention.tables import StagedSlots, StagedTables
from ..cache.pools import Pools, TabledMemory
from ..models.base import ServableModel
from ..sampling.wishes import DrawTokens
from .inputs import StepInputs
from .keys import StepKey


class DecodeStep:
    """What came of the last step lies in `drawn` int64 [rows], where it draws (-1: nothing can be),
    in `scores` float32 [rows, vocab], where it keeps them, and in `hidden` [rows, hidden] for who
    reads more of it than its tokens.
    """

    def __init__(
        self,
        model: ServableModel,
        pools: Pools,
        forbidden_ids: torch.Tensor,
        draw_tokens: DrawTokens,
        most_rows: int,
        *,
        keeps_hidden: bool = False,
    ) -> None:
        """forbidden_ids int64 [ids], which nobody may ever get."""
        device = pools.device
        self._model = model
        self._pools = pools
        self._forbidden_ids = forbidden_ids
        self._draw_tokens = draw_tokens
        self._no_masks = torch.zeros(1, 1, dtype=torch.int32, device=device)
        self.drawn = torch.empty(most_rows, dtype=torch.int64, device=device)
        self.scores = torch.empty(most_rows, model.shape.vocab_size, device=device)
        hidden_shape = (most_rows, model.shape.hidden_size)
        self.hidden = (
            torch.empty(hidden_shape, dtype=model.dtype, device=device) if keeps_hidden else None
        )

    def __call__(self, key: StepKey, inputs: StepInputs) -> None:
        page_tokens = self._pools.page_tokens
        tables = StagedTables(
            inputs.pages, inputs.lengths, key.num_pages * page_tokens, page_tokens
        )
        memory = TabledMemory(self._pools, tables, StagedSlots(inputs.slots))
        embeddings = self._model.embed(self._token_ids(inputs.token_ids))
        hidden = self._model(embeddings, inputs.positions.expand(3, -1, -1), memory)[:, 0]
        if self.hidden is not None:
            self.hidden[: key.num_rows].copy_(hidden)
        logits = self._model.logits(hidden)
        logits.index_fill_(1, self._forbidden_ids, float("-inf"))
        if key.truncations is not None:
            drawn = self._draw_tokens(logits, self._no_masks, inputs.wishes, key.truncations)
            self.drawn[: key.num_rows].copy_(drawn)
        if key.keeps_scores:
            self.scores[: key.num_rows].copy_(logits)

    def _token_ids(self, told: torch.Tensor) -> torch.Tensor:
        """int64 [rows, 1]: as they were told, or as the step before drew them (see StepRow). Where
        that could draw none, any: the row's answer ends before what comes of it is known.
        """
        drawn = self.drawn[(-1 - told).clamp(min=0)].clamp(min=0)
        return torch.where(told < 0, drawn, told)

    def outcome(self, key: StepKey, num_rows: int) -> list[int]:
        """Tokens that tell whether two steps computed the same; forgotten by being told."""
        told: list[torch.Tensor] = []
        if key.truncations is not None:
            told.append(self.drawn[:num_rows].clone())
        if key.keeps_scores:
            told.append(self.scores[:num_rows].argmax(dim=1))
        self.drawn.fill_(-1)
        self.scores.zero_()
        return cast("list[int]", torch.cat(told).tolist())
