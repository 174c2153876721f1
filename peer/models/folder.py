"""What a folder of files says of itself as a model: what it is of, which files it lacks, and why an
engine does not serve it. Reads small files alone, and knows nothing of ids or of where folders lie.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from ..config import EngineKind
from .look import Look

# What each engine serves, by config.json's model_type; a test holds it to the engine's registry.
# Tuples, not sets: a config may hold anything, and a list cannot be looked up in a set.
MODEL_TYPES: dict[EngineKind, tuple[str, ...]] = {
    "torch": ("llama", "qwen2", "qwen3", "qwen3_5", "qwen3_5_text"),
    "fake": ("fake",),
    "none": (),
}
CONFIG_FILE = "config.json"
INDEX_FILE = "model.safetensors.index.json"
# The second is MLX's.
_QUANTISED = ("quantization_config", "quantization")
# Of weights that cortex does not read, as their makers name them: other files end so as well.
_FOREIGN_WEIGHTS = {
    "*.gguf": "GGUF",
    "pytorch_model*.bin": "pytorch_model.bin",
    "consolidated*.pth": "consolidated.pth",
}
_MAX_CONFIG_BYTES = 4 * 1024 * 1024
_MAX_TYPE_CHARS = 80


@dataclass(frozen=True, slots=True)
class Unserved:
    """Why cortex does not serve what is there, and what to do about it."""

    reason: str
    hint: str


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def read_described(folder: Path, look: Look) -> Mapping[str, Any] | None:
    """Its config.json; None where there is none. Raises ValueError for what cannot be read or is no
    object.
    """
    try:
        return look.made(folder / CONFIG_FILE, _read_object)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError from error


def why_unserved(described: Mapping[str, Any], engine: EngineKind) -> Unserved | None:
    """Why the engine does not serve models of such a config.json; None where it does."""
    kind = described.get("model_type")
    if kind not in MODEL_TYPES[engine]:
        return Unserved(
            f"its model_type is '{str(kind)[:_MAX_TYPE_CHARS]}'",
            f"it serves {', '.join(MODEL_TYPES[engine])}",
        )
    inner = described.get("text_config")
    texts = cast(dict[str, Any], inner) if isinstance(inner, dict) else {}
    if any(place.get(name) for place in (described, texts) for name in _QUANTISED):
        return Unserved(
            "its weights are quantised",
            "pull the repository with bfloat16, float16 or float32 weights",
        )
    return None


def lacking(folder: Path, engine: EngineKind, look: Look) -> str | None:
    """The first of a model's files that is not there, or not yet."""
    for name in (CONFIG_FILE, "tokenizer.json"):
        if not look.is_file(folder / name):
            return name
    if engine == "fake":
        return None
    try:
        named = read_shards(folder, look)
    except (OSError, ValueError):  # an index that is none is the engine's to refuse by its name
        named = []
    if named:
        return next((name for name in named if not look.is_file(folder / name)), None)
    try:
        has_weights = bool(loose_shards(folder, look))
    except OSError:
        has_weights = False
    return None if has_weights else "model.safetensors"


def gguf_names(folder: Path, look: Look) -> list[str]:
    return sorted(fnmatch.filter(_names(folder, look), "*.gguf"))


def foreign_weights(folder: Path, look: Look) -> str | None:
    """In which form that cortex does not read a folder has its weights, where it has none that it
    does, nor an index of such: what is on its way may come beside the same weights in another form.
    """
    names = _names(folder, look)
    if INDEX_FILE in names or any(name.endswith(".safetensors") for name in names):
        return None
    forms = _FOREIGN_WEIGHTS.items()
    return next((form for how, form in forms if fnmatch.filter(names, how)), None)


def read_shards(folder: Path, look: Look) -> list[str]:
    """The files of weights that its index names. Raises OSError where there is none, and ValueError
    for one that is none.
    """
    return look.made(folder / INDEX_FILE, _read_shards)


def named_shards(index: bytes) -> list[str]:
    """The files of weights that an index names. Raises ValueError for one that is none."""
    try:
        return sorted(set(msgspec.json.decode(index, type=_Index).weight_map.values()))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError from error


def loose_shards(folder: Path, look: Look) -> list[Path]:
    """The files of weights of a folder without an index. Raises OSError."""
    return sorted(folder / name for name in look.names(folder) if name.endswith(".safetensors"))


def _names(folder: Path, look: Look) -> list[str]:
    """What may not be looked into is empty."""
    try:
        return look.names(folder)
    except OSError:
        return []


def _read_object(path: Path) -> Mapping[str, Any]:
    if path.stat().st_size > _MAX_CONFIG_BYTES:
        raise ValueError
    try:
        value: object = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError from error
    if not isinstance(value, dict):
        raise ValueError
    return cast(Mapping[str, Any], value)


def _read_shards(path: Path) -> list[str]:
    return named_shards(path.read_bytes())
