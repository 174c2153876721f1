"""What a model costs in bytes, and the parts in which a device's bytes are told of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec

from .chunks import GRID_TOKENS

# Costs travel between peers: whatever others say, sums of them stay numbers of bytes.
Amount = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
Signed = Annotated[int, msgspec.Meta(ge=-(1 << 53), le=1 << 53)]


@dataclass(frozen=True, slots=True)
class ModelCosts:
    """What a model costs in bytes, beside the numbers of tokens it was measured for.

    `kv_bytes_per_token` counts layers with full attention alone; `state_bytes` is what the others
    keep of one sequence, however long. The work of the largest step is `workspace_bytes`, and more
    for every token of the context and for every sequence that runs; `vision_peak_bytes` is that of
    encoding a picture of `max_image_tokens`, and `grid_tokens` is the longest chunk.
    `tokenizer_bytes` count where the device's memory is the machine's. `learned_bytes` is by how
    much `num_learned` loads were larger than that. With its `precision`, "" where that is not told,
    begins what the engine says once it is loaded of how it computes.
    """

    weights_bytes: Amount
    workspace_bytes: Amount
    kv_bytes_per_token: Amount
    context_tokens: Amount
    state_bytes: Amount = 0
    vision_peak_bytes: Amount = 0
    image_bytes_per_token: Amount = 0
    max_image_tokens: Amount = 0
    grid_tokens: Amount = GRID_TOKENS
    workspace_bytes_per_token: Amount = 0
    workspace_bytes_per_sequence: Amount = 0
    tokenizer_bytes: Amount = 0
    learned_bytes: Signed = 0
    num_learned: Amount = 0
    precision: Annotated[str, msgspec.Meta(max_length=64)] = ""

    @property
    def loaded_bytes(self) -> int:
        """What is there as soon as it is loaded, before it keeps anything of requests."""
        return self.weights_bytes + self.tokenizer_bytes + self.learned_bytes

    @property
    def step_bytes(self) -> int:
        """The work of the largest step, but for what each sequence adds."""
        return self.workspace_bytes + self.context_tokens * self.workspace_bytes_per_token

    @property
    def fixed_bytes(self) -> int:
        return self.loaded_bytes + self.step_bytes + self.vision_peak_bytes

    @property
    def sequence_bytes(self) -> int:
        """What one sequence takes beside its keys and values."""
        return self.state_bytes + self.workspace_bytes_per_sequence

    @property
    def chunk_images_bytes(self) -> int:
        """The pictures of one chunk: two that reach beyond its ends, the others between them."""
        return self.image_bytes_per_token * (
            2 * self.max_image_tokens + self.grid_tokens if self.max_image_tokens else 0
        )


class MemoryPart(msgspec.Struct, frozen=True):
    """What one use of the device's memory was given, in a person's words."""

    name: str
    num_bytes: int
    note: str = ""
