"""Sequences through the forward pass: prompt chunks, decode steps, copies out and in.

Runs on the device thread, its callers in inference mode; knows pools and the model, no queue and no client.
A chunk is a forward pass of one sequence and decoding one of many, a row each, so that what a
sequence computes does not depend on its neighbours: neither on who they are nor on how many.
"""

from __future__ import annotations

import torch

from .cache.encoded import EncoderCache
from .cache.pools import Place, PooledMemory, Pools
from .models.base import ModelShape, ServableModel
from .patches import image_patches
from .sampling.adjusting import TokenCounts, needs_counts
from .sequence import ImageSpan, Saved, Sequence


class Runner:
    """The steps of one model over one set of pools."""

    def __init__(
        self, model: ServableModel, pools: Pools, encoded: EncoderCache[torch.Tensor]
    ) -> None:
        self._model = model
        self._pools = pools
        self._encoded = encoded

    @property
    def shape(self) -> ModelShape:
        return self._model.shape

    def begin(self, sequence: Sequence) -> None:
        """A sequence that was just given its place: at its start, or where it was suspended."""
        slot, saved = _slot(sequence), sequence.saved
        if sequence.counts is None and needs_counts(sequence.prompt.sampling):
            sequence.counts = TokenCounts(sequence.prompt.token_ids, self._pools.device)
            for token_id in sequence.tokens[sequence.num_prompt :]:
                sequence.counts.add(token_id)
        if saved is None:
            self._pools.clear_state(slot)
            return
        self._pools.copy_in(_place(sequence), 0, saved.keys_values, sequence.num_computed)
        self._pools.copy_states_in(slot, saved.states)
        sequence.saved = None

    def save(self, sequence: Sequence) -> None:
        """Everything computed to host memory, before the place is taken away."""
        sequence.saved = Saved(
            self._pools.copy_out(_place(sequence), 0, sequence.num_computed),
            self._pools.copy_states_out(_slot(sequence)),
        )

    def prefill(self, sequence: Sequence, end: int) -> torch.Tensor | None:
        """Compute the prompt up to `end`; logits [vocab] where that is its end."""
        start = sequence.num_computed
        token_ids = torch.tensor(sequence.tokens[start:end], device=self._pools.device)
        axes = [axis[start:end] for axis in sequence.positions.axes]
        positions = torch.tensor(axes, device=self._pools.device)[:, None]
        embeddings = self._model.embed(token_ids)
        for span in sequence.image_spans:
            if span.start < end and start < span.end:
                self._splice(embeddings, sequence, span, start, end)
        memory = PooledMemory(self._pools, [_place(sequence)], end - start)
        hidden = self._model(embeddings[None], positions, memory)
        sequence.num_computed = end
        self._forget_images(sequence, end)
        return self._model.logits(hidden[:, -1])[0] if sequence.is_prefilled else None

    def decode(self, sequences: list[Sequence]) -> torch.Tensor:
        """Feed each sequence its next known token; logits [sequences, vocab]."""
        device = self._pools.device
        token_ids = [[s.tokens[s.num_computed]] for s in sequences]
        at = [[s.num_computed + s.positions.delta] for s in sequences]
        positions = torch.tensor(at, device=device).expand(3, -1, -1)
        memory = PooledMemory(self._pools, [_place(s) for s in sequences], 1)
        embeddings = self._model.embed(torch.tensor(token_ids, device=device))
        hidden = self._model(embeddings, positions, memory)
        for sequence in sequences:
            sequence.num_computed += 1
        return self._model.logits(hidden[:, 0])

    def _splice(
        self, embeddings: torch.Tensor, sequence: Sequence, span: ImageSpan, start: int, end: int
    ) -> None:
        """The rows of one picture into its places in a chunk; encoded where nobody did before."""
        rows = self._image_rows(sequence, span)
        first, last = max(start, span.start), min(end, span.end)
        embeddings[first - start : last - start] = rows[first - span.start : last - span.start]

    def _image_rows(self, sequence: Sequence, span: ImageSpan) -> torch.Tensor:
        image = sequence.prompt.images[span.image_index]
        if span.lease is None:
            span.lease = self._encoded.lease(image.hash)
        if span.lease is None:
            vision = self._model.shape.vision
            assert vision is not None, "a prompt with pictures for a model without a tower"
            patches = image_patches(
                image, vision.patch_size, vision.merge_size, vision.temporal_patch_size
            )
            patches = patches.to(self._pools.device, self._model.dtype)
            rows = self._model.encode_images(patches, [image.grid_thw])
            span.lease = self._encoded.insert(image.hash, rows, rows.nbytes)
        return span.lease.payload

    def forget(self, sequence: Sequence) -> None:
        """It ended: nothing of it is needed any more but what its place holds."""
        self._forget_images(sequence, sequence.num_prompt)

    def _forget_images(self, sequence: Sequence, end: int) -> None:
        for span in sequence.image_spans:
            if span.end <= end and span.lease is not None:
                span.lease.release()
        sequence.image_spans = [span for span in sequence.image_spans if span.end > end]


def _slot(sequence: Sequence) -> int:
    assert sequence.slot is not None, "only a sequence with a place is computed"
    return sequence.slot


def _place(sequence: Sequence) -> Place:
    assert sequence.pages is not None, "only a sequence with a place is computed"
    return Place(sequence.pages.pages, _slot(sequence), sequence.num_computed)
