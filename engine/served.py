"""A loaded model with what serving it needs beside the weights: its forward pass, in steps.

Knows one sequence at a time: prefill in chunks, decode by one token. The chunk split is a function
of the prompt alone, and tokens that are resumed go through the decode form as they did when they
were made. Runs on the device thread; knows no queue and no client.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from .errors import EngineFailed
from .models.qwen3_5 import SequenceState
from .models.registry import LoadedModel
from .patches import image_patches
from .positions import RopePositions, rope_positions
from .sampler import Chosen, choose_tokens, sampling_row
from .sampling.adjusting import TokenCounts, needs_counts
from .types import Prompt

PREFILL_CHUNK_TOKENS = 512


class Sequence:
    """One request on the device: its tokens, its state, and what of its prompt is done."""

    def __init__(
        self, prompt: Prompt, positions: RopePositions, counts: TokenCounts | None
    ) -> None:
        # Pictures are let go one by one as they are encoded.
        self.prompt = replace(prompt, images=())
        self.pending_images = list(prompt.images)
        self.positions = positions
        self.counts = counts
        self.state = SequenceState()
        self.num_prefilled = 0
        self.num_answered = 0
        # Merged rows of pictures already encoded but not yet all spliced in.
        self.image_rows: list[torch.Tensor] = []
        self.logits: torch.Tensor | None = None

    @property
    def is_prefilled(self) -> bool:
        return self.num_prefilled == len(self.prompt.token_ids)


class ServedModel:
    """The steps of one model; every method runs under inference mode on the device thread."""

    def __init__(self, loaded: LoadedModel, num_tokens: int, device: torch.device) -> None:
        """`num_tokens` is the tokenizer's size: the embedding may be padded beyond it."""
        self.model = loaded.model
        self.weight_bytes = loaded.weight_bytes
        self._device = device
        self._forbidden = self._forbidden_ids(num_tokens).to(device)

    def _forbidden_ids(self, num_tokens: int) -> torch.Tensor:
        """Ids that are no tokens (padding of the embedding), and the picture places."""
        config = self.model.config
        padding = range(num_tokens, config.text.vocab_size)
        places = (config.image_token_id, config.video_token_id)
        forbidden = sorted({*padding, *(p for p in places if p is not None)})
        return torch.tensor(forbidden, dtype=torch.long)

    @torch.inference_mode()
    def start(self, prompt: Prompt) -> Sequence:
        """A sequence at its beginning. Raises InvalidRequest where pictures and places differ."""
        config = self.model.config
        positions = rope_positions(
            prompt.token_ids,
            [image.grid_thw for image in prompt.images],
            config.vision.merge_size if config.vision else 1,
            config.image_token_id,
        )
        counts = None
        if needs_counts(prompt.sampling):
            counts = TokenCounts(prompt.token_ids, self._device)
        return Sequence(prompt, positions, counts)

    @torch.inference_mode()
    def prefill_chunk(self, sequence: Sequence, chunk_tokens: int = PREFILL_CHUNK_TOKENS) -> None:
        """Run the next chunk of the prompt; its last chunk leaves the first logits."""
        start = sequence.num_prefilled
        end = min(start + chunk_tokens, len(sequence.prompt.token_ids))
        token_ids = torch.tensor(sequence.prompt.token_ids[start:end], device=self._device)
        axes = [axis[start:end] for axis in sequence.positions.axes]
        positions = torch.tensor(axes, device=self._device)[:, None]
        embeddings = self._splice(self.model.embed(token_ids), token_ids, sequence)
        hidden = self.model(embeddings[None], positions, sequence.state)
        sequence.num_prefilled = end
        if sequence.is_prefilled:
            sequence.logits = self.model.logits(hidden[0, -1])

    def _splice(
        self, embeddings: torch.Tensor, token_ids: torch.Tensor, sequence: Sequence
    ) -> torch.Tensor:
        """Picture rows in the chunk's picture places; a picture is encoded when it is reached."""
        places = (token_ids == self.model.config.image_token_id).nonzero()[:, 0]
        needed = len(places)
        while sum(len(rows) for rows in sequence.image_rows) < needed:
            sequence.image_rows.append(self._encode_next_image(sequence))
        if needed:
            rows = torch.cat(sequence.image_rows)
            embeddings = embeddings.index_copy(0, places, rows[:needed])
            sequence.image_rows = [rows[needed:]]
        return embeddings

    def _encode_next_image(self, sequence: Sequence) -> torch.Tensor:
        vision = self.model.config.vision
        assert vision is not None
        image = sequence.pending_images.pop(0)
        patches = image_patches(
            image, vision.patch_size, vision.merge_size, vision.temporal_patch_size
        )
        patches = patches.to(self._device, self.model.dtype)
        return self.model.encode_images(patches, [image.grid_thw])

    @torch.inference_mode()
    def choose(self, sequence: Sequence) -> Chosen:
        """The next token of a prefilled sequence; feed it to go on.

        Raises EngineFailed where the model's scores leave none to choose.
        """
        assert sequence.logits is not None, "choose before the prompt is done"
        row = sampling_row(sequence.prompt, sequence.num_answered, sequence.counts)
        chosen = choose_tokens(sequence.logits[None], [row], self._forbidden)[0]
        if chosen is None:
            raise EngineFailed(
                "the model's scores leave no token to choose",
                "they may be no numbers: check the model's files with cortex verify",
            )
        return chosen

    @torch.inference_mode()
    def feed(self, sequence: Sequence, token_id: int) -> None:
        """One decode step with a token of the answer, chosen now or resumed."""
        index = len(sequence.prompt.token_ids) + sequence.num_answered
        position = index + sequence.positions.delta
        token = torch.tensor([[token_id]], device=self._device)
        positions = torch.full((3, 1, 1), position, device=self._device)
        hidden = self.model(self.model.embed(token), positions, sequence.state)
        sequence.logits = self.model.logits(hidden[0, -1])
        sequence.num_answered += 1
        if sequence.counts is not None:
            sequence.counts.add(token_id)
