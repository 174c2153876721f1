"""Sequences through the forward pass: prompt chunks and decode steps.

Runs on the device thread, its callers in inference mode; knows pools and the model, no queue and
no client. A chunk is a forward pass of one sequence and decoding one of many, a row each, so that
what a sequence computes does not depend on its neighbours: neither on who they are nor on how many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise

import torch

from .cache.drafted import DraftedMemory
from .cache.encoded import EncoderCache
from .cache.pools import PooledMemory, Pools
from .decoding.inputs import Staging, layout_of, send_chunk, step_row
from .models.base import ModelShape, ServableModel
from .models.memory import StepMemory
from .patches import image_patches
from .sequence import ImageSpan, Sequence
from .speculation.head import HeadDrafts
from .speculation.verification import Verification
from .types import PreparedImage


class Runner:
    """The steps of one model over one set of pools."""

    def __init__(
        self,
        model: ServableModel,
        pools: Pools,
        encoded: EncoderCache[torch.Tensor],
        head: HeadDrafts | None = None,
    ) -> None:
        """The draft head, where there is one, hears of all that is computed."""
        self._model = model
        self._head = head
        self._pools = pools
        self._encoded = encoded
        self._staging = Staging(pools.device)

    @property
    def shape(self) -> ModelShape:
        return self._model.shape

    @property
    def device(self) -> torch.device:
        return self._pools.device

    @property
    def page_bytes(self) -> int:
        return self._pools.page_tokens * self._pools.token_bytes

    @property
    def state_bytes(self) -> int:
        """What a sequence's recurrent state takes on the device."""
        return self._pools.state_bytes

    @property
    def encoded_bytes(self) -> int:
        """What encoded pictures take now."""
        return self._encoded.used_bytes

    def picture_bytes(self, sequence: Sequence) -> int:
        """What the encoded rows take of the pictures of one chunk, at the most."""
        chunks = pairwise((0, *sequence.cuts))
        return max(sum(self._sizes(sequence.pictures_in(*chunk)).values()) for chunk in chunks)

    def prefill(self, sequence: Sequence, end: int) -> torch.Tensor:
        """Compute the prompt up to `end`; final hidden states [tokens, hidden] of this part."""
        start = sequence.num_computed
        inputs = send_chunk(sequence, end, self._pools.page_tokens, self._staging)
        embeddings = self._model.embed(inputs.token_ids)
        self._splice(embeddings, sequence, start, end)
        memory = PooledMemory(self._pools, [sequence.place()], end - start, inputs)
        hidden = self._model(embeddings[None], inputs.positions, memory)
        if self._head is not None and sequence.prompt.pooling is None:
            self._head.read_chunk(sequence, embeddings, inputs, hidden[0], memory)
        sequence.num_computed = end
        return hidden[0]

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[rows, hidden] to [rows, vocab]."""
        return self._model.logits(hidden)

    def decode(self, sequences: Iterable[Sequence]) -> dict[Sequence, torch.Tensor]:
        """Feed each sequence its next known token; the scores behind it, [vocab]."""
        fed = {s: step_row(s) for s in sequences}
        rows = list(fed.values())
        layout = layout_of(rows, self._pools.page_tokens)
        told = self._staging.send(layout.pack(rows, self._pools.page_tokens))
        inputs = layout.views(told)
        memory = PooledMemory(self._pools, [row.place for row in rows], 1, inputs)
        embeddings = self._model.embed(inputs.token_ids)
        hidden = self._model(embeddings, inputs.positions.expand(3, -1, -1), memory)[:, 0]
        if self._head is not None:
            self._head.note(dict(zip(fed, hidden[:, None], strict=True)))
        for sequence in fed:
            sequence.num_computed += 1
        return dict(zip(fed, self._model.logits(hidden), strict=True))

    def decode_ahead(
        self, sequences: Iterable[Sequence], drafts: Mapping[Sequence, list[int]]
    ) -> Verification:
        """Feed some of them drafted tokens besides, as rows of their own."""
        plain = [s for s in sequences if s not in drafts]
        fed = {s: [s.tokens[s.num_computed], *drafts.get(s, ())] for s in (*plain, *drafts)}
        memory = DraftedMemory(
            self._pools,
            [s.place() for s in plain],
            [(s.place(), len(fed[s])) for s in drafts],
        )
        return Verification(drafts, self._decode(fed, memory), memory)

    def _decode(
        self, fed: Mapping[Sequence, list[int]], memory: StepMemory
    ) -> dict[Sequence, torch.Tensor]:
        """A row for each token; the scores behind those of each sequence, [its tokens, vocab]."""
        token_ids = [[token_id] for tokens in fed.values() for token_id in tokens]
        at = [
            [s.num_computed + s.positions.delta + i]
            for s, tokens in fed.items()
            for i in range(len(tokens))
        ]
        positions = torch.tensor(at, device=self.device).expand(3, -1, -1)
        embeddings = self._model.embed(torch.tensor(token_ids, device=self.device))
        hidden = self._model(embeddings, positions, memory)[:, 0]
        if self._head is not None:
            self._head.note(_of_each(fed, hidden))
        for sequence in fed:
            sequence.num_computed += 1
        return _of_each(fed, self._model.logits(hidden))

    def _splice(self, embeddings: torch.Tensor, sequence: Sequence, start: int, end: int) -> None:
        """The rows of pictures into their places in a chunk; encoded where nobody did it before."""
        spans = sequence.pictures_in(start, end)
        images = {span.image.hash: span.image for span in spans}
        rows = self._encoded.rows(self._sizes(spans), lambda h: self._encode(images[h]))
        for span in spans:
            first, last = max(start, span.start), min(end, span.end)
            part = rows[span.image.hash][first - span.start : last - span.start]
            embeddings[first - start : last - start] = part

    def _sizes(self, spans: Iterable[ImageSpan]) -> dict[bytes, int]:
        """What the encoded rows of pictures take, by hash."""
        row_bytes = self.shape.hidden_size * self._model.dtype.itemsize
        return {span.image.hash: (span.end - span.start) * row_bytes for span in spans}

    def _encode(self, image: PreparedImage) -> torch.Tensor:
        """[merged cells, hidden]."""
        vision = self.shape.vision
        assert vision is not None, "a prompt with pictures for a model without a tower"
        patches = image_patches(
            image, vision.patch_size, vision.merge_size, vision.temporal_patch_size
        )
        patches = patches.to(self.device, self._model.dtype)
        return self._model.encode_images(patches, [image.grid_thw])


def _of_each(fed: Mapping[Sequence, list[int]], rows: torch.Tensor) -> dict[Sequence, torch.Tensor]:
    """Rows of all tokens, by whose they are."""
    ends = accumulate(map(len, fed.values()))
    return {s: rows[end - len(fed[s]) : end] for s, end in zip(fed, ends, strict=True)}
