"""The models of a fleet as a program sees them from outside: `GET /models`, read into values.

None stands for what nobody knows; fields that the reader does not know are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from .reading import Told, list_of, read


def _has_vision(value: Any) -> bool:
    return "vision" in list_of(value)


@dataclass(frozen=True, slots=True)
class WarmPicture:
    """A model in an engine, or on its way there: `state` is ready, loading or unloading."""

    peer: str
    device: int
    state: str
    percent: int | None
    context_tokens: Annotated[int, Told(or_else=0)]
    num_slots: Annotated[int, Told("slots", or_else=0)]
    reserved_bytes: Annotated[int, Told(or_else=0)]
    is_pinned: Annotated[bool, Told("pinned", or_else=False)]
    running: int | None
    waiting: int | None


@dataclass(frozen=True, slots=True)
class ColdPicture:
    """A model on a disk alone; `eta_s` is how long a load takes."""

    peer: str
    eta_s: float | None


@dataclass(frozen=True, slots=True)
class ModelPicture:
    """`weights` is the hash of its files: one id may stand for several; empty where nobody has
    read them yet.
    """

    id: str
    weights: Annotated[str, Told(or_else="")]
    aliases: Annotated[tuple[str, ...], Told(or_else=())]
    size_bytes: int
    context_tokens: int
    sees_images: Annotated[bool, Told("capabilities", _has_vision, or_else=False)]
    warm: tuple[WarmPicture, ...]
    cold: tuple[ColdPicture, ...]

    @property
    def is_somewhere(self) -> bool:
        """Not so of one that is still on its way to a disk: of that little is known."""
        return bool(self.warm or self.cold)


@dataclass(frozen=True, slots=True)
class _Models:
    models: tuple[ModelPicture, ...]


def read_models(told: Mapping[str, Any]) -> tuple[ModelPicture, ...]:
    """Raises ValueError where no peer can have said that."""
    return read(_Models, told).models
