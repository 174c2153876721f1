"""The models that can be asked as lines of text, and where in a fleet they are. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cortex.peer.types import ModelInfo, Whereabouts
from cortex.peer.units import about, memory

from .fitting import fitted

_HEAD = ("MODEL", "CONTEXT", "IMAGES")
_FLEET_HEAD = ("MODEL", "SIZE", "CONTEXT", "IMAGES", "STATE", "WHERE", "LOAD")
# In which order columns go from a narrow terminal.
_LEAVE = ("LOAD", "CONTEXT", "SIZE", "IMAGES", "WHERE")


def model_table(models: Sequence[ModelInfo], *, width: int | None) -> list[str]:
    """Without a fleet nothing is told of places; without a `width` nothing is left out."""
    if not any(model.where for model in models):
        rows = [(model.id, *_kind(model)) for model in models]
        return fitted(_HEAD, rows, width=width, leave=_LEAVE)
    rows = [(model.id, _size(model), *_kind(model), *_place(model.where)) for model in models]
    return fitted(_FLEET_HEAD, rows, width=width, leave=_LEAVE, numbers=("SIZE",), listing="WHERE")


def model_lines(model: ModelInfo, files: Path | None) -> list[str]:
    """One model in full; `files` is where it lies on this machine."""
    pictures = "reads pictures" if model.sees_images else "no pictures"
    chats = "" if model.takes_chats else "no chats"
    size = memory(model.size_bytes) if model.size_bytes else ""
    facts = [f"{model.context_length:,} tokens of context", pictures, chats, size]
    lines = [model.id, "   ".join(fact for fact in facts if fact), *map(_standing, model.where)]
    return [*lines, *([] if files is None else [f"files   {files}"])]


def _standing(one: Whereabouts) -> str:
    eta = f"   loads in {about(one.eta_s)}" if one.state == "cold" and one.eta_s else ""
    return f"{one.state:<7} on {one.peer}{'   pinned' * one.is_pinned}{eta}"


def as_json(model: ModelInfo) -> dict[str, Any]:
    return {
        "id": model.id,
        "capabilities": list(model.capabilities),
        "context_tokens": model.context_length,
        "size_bytes": model.size_bytes or None,
        "where": [
            {"peer": one.peer, "state": one.state, "eta_s": one.eta_s, "pinned": one.is_pinned}
            for one in model.where
        ],
    }


def _kind(model: ModelInfo) -> tuple[str, str]:
    return f"{model.context_length:,}", "yes" if model.sees_images else "no"


def _size(model: ModelInfo) -> str:
    return memory(model.size_bytes) if model.size_bytes else "-"


def _place(where: Sequence[Whereabouts]) -> tuple[str, str, str]:
    """The best state that it is in, at whom, and how long a load takes where it needs one."""
    for state in ("warm", "loading", "cold"):
        those = [one for one in where if one.state == state]
        if those:
            names = ", ".join(f"{one.peer}{' (pinned)' * one.is_pinned}" for one in those)
            etas_s = [one.eta_s for one in those if one.eta_s is not None]
            return state, names, about(min(etas_s)) if etas_s else "-"
    return "-", "-", "-"
