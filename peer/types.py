"""The values a peer speaks of. Frozen, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cortex.engine.types import Capability
from cortex.engine.wishes import AS_ALL, ModelWishes

# Of a model on a peer's disk: whether it is in the engine, on its way there, or has to be loaded.
Warmth = Literal["warm", "loading", "cold"]


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """A peer that holds a model. `eta_s` is how long a load there takes, as far as is known."""

    peer: str
    state: Warmth
    eta_s: float | None = None
    is_pinned: bool = False


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that can be served. `dir` is None for a model on another peer.

    `weights` names the bytes of its weights, and of all else that its answers depend on; empty
    where nobody has looked yet. `context_length` is in tokens and already lowered to the operator's
    limit; where the model is offered, to what there is memory for. `where` is told by a fleet only;
    `wishes` is how it is loaded and asked on this peer.
    """

    id: str
    dir: Path | None
    capabilities: tuple[Capability, ...]
    context_length: int
    created_s: int
    weights: bytes = b""
    size_bytes: int = 0
    where: tuple[Whereabouts, ...] = ()
    wishes: ModelWishes = AS_ALL

    @property
    def takes_chats(self) -> bool:
        return "text" in self.capabilities

    @property
    def sees_images(self) -> bool:
        return "vision" in self.capabilities


def is_same(wanted: ModelInfo, other: ModelInfo) -> bool:
    """Whether two are the same weights, as far as these are known: files may change in between."""
    if wanted.id != other.id:
        return False
    return not (wanted.weights and other.weights) or wanted.weights == other.weights
