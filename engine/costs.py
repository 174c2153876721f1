"""What a model costs in bytes, and the parts in which a device's bytes are told of."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from .chunks import GRID_TOKENS


@dataclass(frozen=True, slots=True)
class ModelCosts:
    """What a model costs in bytes, beside the numbers of tokens it was measured for.

    `kv_bytes_per_token` counts layers with full attention alone; `state_bytes` is what the others
    keep of one sequence, however long. `vision_peak_bytes` is the work of encoding a picture of
    `max_image_tokens`, `workspace_bytes` that of the largest step.
    """

    weights_bytes: int
    workspace_bytes: int
    kv_bytes_per_token: int
    context_tokens: int
    state_bytes: int = 0
    vision_peak_bytes: int = 0
    image_bytes_per_token: int = 0
    max_image_tokens: int = 0

    @property
    def fixed_bytes(self) -> int:
        return self.weights_bytes + self.workspace_bytes + self.vision_peak_bytes

    @property
    def chunk_images_bytes(self) -> int:
        """The pictures of one chunk: two that reach beyond its ends, the others between them."""
        return self.image_bytes_per_token * (
            2 * self.max_image_tokens + GRID_TOKENS if self.max_image_tokens else 0
        )


class MemoryPart(msgspec.Struct, frozen=True):
    """What one use of the device's memory was given, in a person's words."""

    name: str
    num_bytes: int
    note: str = ""
