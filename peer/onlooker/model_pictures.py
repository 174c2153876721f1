"""The models of a fleet as a program sees them from outside: `GET /models`, read into values.

None stands for what nobody knows; fields that the reader does not know are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .reading import complete, dict_of, list_of, number, optional, text, whole


@dataclass(frozen=True, slots=True)
class WarmPicture:
    """A model in an engine, or on its way there: `state` is ready, loading or unloading."""

    peer: str
    device: int
    state: str
    percent: int | None
    context_tokens: int
    num_slots: int
    reserved_bytes: int
    is_pinned: bool
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
    weights: str
    aliases: tuple[str, ...]
    size_bytes: int
    context_tokens: int
    sees_images: bool
    warm: tuple[WarmPicture, ...]
    cold: tuple[ColdPicture, ...]

    @property
    def is_somewhere(self) -> bool:
        """Not so of one that is still on its way to a disk: of that little is known."""
        return bool(self.warm or self.cold)


@complete
def read_models(told: Mapping[str, Any]) -> tuple[ModelPicture, ...]:
    """Raises ValueError where no peer can have said that."""
    return tuple(_model(dict_of(model)) for model in list_of(told["models"]))


def _model(told: dict[str, Any]) -> ModelPicture:
    return ModelPicture(
        text(told["id"]),
        optional(told.get("weights"), text) or "",
        tuple(text(alias) for alias in list_of(told.get("aliases", []))),
        whole(told["size_bytes"]),
        whole(told["context_tokens"]),
        "vision" in list_of(told.get("capabilities", [])),
        tuple(_warm(dict_of(place)) for place in list_of(told["warm"])),
        tuple(_cold(dict_of(place)) for place in list_of(told["cold"])),
    )


def _warm(told: dict[str, Any]) -> WarmPicture:
    return WarmPicture(
        text(told["peer"]),
        whole(told["device"]),
        text(told["state"]),
        optional(told.get("percent"), whole),
        whole(told.get("context_tokens", 0)),
        whole(told.get("slots", 0)),
        whole(told.get("reserved_bytes", 0)),
        told.get("pinned") is True,
        optional(told.get("running"), whole),
        optional(told.get("waiting"), whole),
    )


def _cold(told: dict[str, Any]) -> ColdPicture:
    return ColdPicture(text(told["peer"]), optional(told.get("eta_s"), number))
