"""The values a peer speaks of. Frozen, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cortex.engine.types import Capability


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that can be served. `dir` is None for a model on another peer.

    `weights` names the bytes of its weights, and of all else that its answers depend on; empty
    where nobody has looked yet. `context_length` is in tokens and already lowered to the operator's
    limit.
    """

    id: str
    dir: Path | None
    capabilities: tuple[Capability, ...]
    context_length: int
    created_s: int
    weights: bytes = b""
    size_bytes: int = 0

    @property
    def sees_images(self) -> bool:
        return "vision" in self.capabilities
