"""What a folder of files says of itself as a model: what it is of, which files it lacks, and why an
engine does not serve it. Reads small files alone, and knows nothing of ids or of where folders lie.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os.path import isfile
from pathlib import Path
from typing import Any, cast

import msgspec

from ..config import EngineKind

# What each engine serves, by config.json's model_type; a test holds it to the engine's registry.
# Tuples, not sets: a config may hold anything, and a list cannot be looked up in a set.
MODEL_TYPES: dict[EngineKind, tuple[str, ...]] = {
    "torch": ("llama", "qwen2", "qwen3", "qwen3_5", "qwen3_5_text"),
    "fake": ("fake",),
    "none": (),
}
CONFIG_FILE = "config.json"
INDEX_FILE = "model.safetensors.index.json"
_MAX_CONFIG_BYTES = 4 * 1024 * 1024
_MAX_TYPE_CHARS = 80


@dataclass(frozen=True, slots=True)
class Unserved:
    """Why cortex does not serve what is there, and what to do about it."""

    reason: str
    hint: str


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def read_described(folder: Path) -> dict[str, Any] | None:
    """Its config.json; None where there is none. Raises ValueError for what cannot be read or is no
    object.
    """
    path = folder / CONFIG_FILE
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            raise ValueError
        value: object = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, RecursionError) as error:
        raise ValueError from error
    if not isinstance(value, dict):
        raise ValueError
    return cast(dict[str, Any], value)


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
    if described.get("quantization_config") or texts.get("quantization_config"):
        return Unserved(
            "its weights are quantised",
            "pull the repository with bfloat16, float16 or float32 weights",
        )
    return None


def lacking(folder: Path, engine: EngineKind) -> str | None:
    """The first of a model's files that is not there, or not yet."""
    for name in (CONFIG_FILE, "tokenizer.json"):
        if not isfile(folder / name):
            return name
    if engine == "fake":
        return None
    try:
        named = named_shards((folder / INDEX_FILE).read_bytes())
    except (OSError, ValueError):  # an index that is none is the engine's to refuse by its name
        named = []
    if named:
        return next((name for name in named if not isfile(folder / name)), None)
    return None if next(folder.glob("*.safetensors"), None) else "model.safetensors"


def named_shards(index: bytes) -> list[str]:
    """The files of weights that an index names. Raises ValueError for one that is none."""
    try:
        return sorted(set(msgspec.json.decode(index, type=_Index).weight_map.values()))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError from error
