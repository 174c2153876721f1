"""The models on this machine's disks, found without torch.

A model is a folder with config.json, tokenizer.json and safetensors files, of an architecture that
the engine in use serves. The catalogue reads configs alone and never opens weights; whether a
model really loads is the engine's to say. What may not be read is passed over: the questions of
os.path are asked, because those of Path raise PermissionError.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from os.path import isdir, isfile
from pathlib import Path
from typing import Any, cast

from cortex.engine.errors import ModelNotFound
from cortex.engine.types import Capability

from ..config import EngineKind, PeerConfig
from ..types import ModelInfo

# What each engine serves, by config.json's model_type; a test holds it to the engine's registry.
# Tuples, not sets: a config may hold anything, and a list cannot be looked up in a set.
MODEL_TYPES: dict[EngineKind, tuple[str, ...]] = {
    "torch": ("llama", "qwen2", "qwen3", "qwen3_5", "qwen3_5_text"),
    "fake": ("fake",),
    "none": (),
}
EMBEDDED_IDS: dict[EngineKind, str] = {"torch": "cortex-nano", "fake": "fake"}
_CONFIG = "config.json"
_MAX_CONFIG_BYTES = 4 * 1024 * 1024
_CONTEXT_WITHOUT_WORD_TOKENS = 4096
# Of a name that no model has: whoever made it up may have made it megabytes long.
_MAX_NAME_CHARS = 128


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What was found, in search order; the first one is the default. `brings` is what to do where
    nothing was; `unreadable` are configs that are there and are none.
    """

    models: tuple[ModelInfo, ...]
    unreadable: tuple[Path, ...] = ()
    place: str = "on this peer"
    brings: str = "cortex pull fetches one, --models DIR names a folder of some"

    def find(self, model_id: str) -> ModelInfo:
        """The model of that id.

        Raises ModelNotFound, with the nearest ids as the hint.
        """
        model = next((model for model in self.models if model.id == model_id), None)
        if model is None:
            raise self.unknown(model_id)
        return model

    def unknown(self, model_id: str) -> ModelNotFound:
        is_long = len(model_id) > _MAX_NAME_CHARS
        shown = f"{model_id[:_MAX_NAME_CHARS]}…" if is_long else model_id
        hint = self._hint_for(shown)
        return ModelNotFound(f"model '{shown}' is not {self.place}", hint, param="model")

    def first_with_vision(self) -> ModelInfo | None:
        return next((model for model in self.models if model.sees_images), None)

    def _hint_for(self, model_id: str) -> str:
        ids = [model.id for model in self.models]
        near = difflib.get_close_matches(model_id, ids, n=3, cutoff=0.5)
        if near:
            return f"did you mean {' or '.join(near)}?"
        if ids:
            return f"there is: {', '.join(ids[:8])}{' …' if len(ids) > 8 else ''}"
        return f"no model was found at all: {self.brings}"


def of_fleet(models: tuple[ModelInfo, ...]) -> Catalogue:
    """What all its peers have."""
    return Catalogue(models, (), "in this fleet", "start a peer that has some: cortex peer")


def scan(config: PeerConfig) -> Catalogue:
    """Look through all places once. An id found twice belongs to the first place."""
    if config.is_gateway:
        return Catalogue(())
    models: dict[str, ModelInfo] = {}
    unreadable: list[Path] = []
    named = {one.source.resolve(): one.id for one in config.models if one.source is not None}
    for model_id, folder in _candidates(config):
        # A folder that has been given an id goes by that alone.
        if model_id in models or named.get(folder.resolve(), model_id) != model_id:
            continue
        try:
            model = read_model(model_id, folder, config)
        except OSError:  # it went away while we looked
            continue
        except ValueError:
            unreadable.append(folder / _CONFIG)
            continue
        if model is not None:
            models[model_id] = model
    return Catalogue(tuple(models.values()), tuple(unreadable))


def embedded_dir(config: PeerConfig) -> Path:
    """The folder of the model that ships inside the package, present or not."""
    if config.embedded_dir is not None:
        return config.embedded_dir
    name = EMBEDDED_IDS[config.engine]
    return Path(str(resources.files("cortex.engine"))) / "assets" / name


def read_model(model_id: str, folder: Path, config: PeerConfig) -> ModelInfo | None:
    """A folder as a model, or None where it is none that this engine serves.

    Raises ValueError for a config.json that is none.
    """
    described = read_described(folder)
    if described is None or not serves(described, config.engine):
        return None
    if not isfile(folder / "tokenizer.json") or not _has_weights(folder, config.engine):
        return None
    return ModelInfo(
        id=model_id,
        dir=folder,
        capabilities=_capabilities(described, folder),
        context_length=min(
            _context_tokens(described),
            config.context_limit_tokens,
            config.model(model_id).context_tokens or config.context_limit_tokens,
        ),
        created_s=int((folder / _CONFIG).stat().st_mtime),
        wishes=config.wishes_for(model_id),
    )


def serves(described: Mapping[str, Any], engine: EngineKind) -> bool:
    """Whether the engine serves models of such a config.json."""
    return described.get("model_type") in MODEL_TYPES[engine]


def pulling_dir(config: PeerConfig) -> Path:
    """Where models are put that come: the first folder of models, which is no model itself."""
    places = [*config.models_dirs, config.locations.data_dir / "models"]
    return next(one for one in places if one == places[-1] or not isfile(one / _CONFIG))


def _candidates(config: PeerConfig) -> Iterator[tuple[str, Path]]:
    for model in config.models:
        if model.source is not None:
            yield model.id, model.source
    for root in (*config.models_dirs, config.locations.data_dir / "models"):
        yield from _in_models_dir(root)
    if config.locations.hub_dir is not None:
        yield from _in_hub(config.locations.hub_dir)
    yield EMBEDDED_IDS[config.engine], embedded_dir(config)


def _in_models_dir(root: Path) -> Iterator[tuple[str, Path]]:
    """The folder itself, NAME, or ORG/NAME below it; hidden ones come or go."""
    if isfile(root / "config.json"):
        yield root.resolve().name, root
        return
    for child in _folders(root):
        if child.name.startswith("."):
            continue
        if isfile(child / "config.json"):
            yield child.name, child
            continue
        for grandchild in _folders(child):
            if isfile(grandchild / "config.json"):
                yield f"{child.name}/{grandchild.name}", grandchild


def _in_hub(hub_dir: Path) -> Iterator[tuple[str, Path]]:
    """The current snapshot of each repository in a Hugging Face cache."""
    for repository in _folders(hub_dir):
        if not repository.name.startswith("models--"):
            continue
        snapshot = _current_snapshot(repository)
        if snapshot is not None:
            yield repository.name.removeprefix("models--").replace("--", "/", 1), snapshot


def _current_snapshot(repository: Path) -> Path | None:
    try:
        commit = (repository / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        commit = ""
    if commit and isfile(repository / "snapshots" / commit / "config.json"):
        return repository / "snapshots" / commit
    snapshots = _folders(repository / "snapshots")
    return max(snapshots, key=_modified_s, default=None)


def _modified_s(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(child for child in root.iterdir() if isdir(child))
    except OSError:
        return []


def read_described(folder: Path) -> dict[str, Any] | None:
    """Its config.json; None where there is none. Raises ValueError for what cannot be read or is no
    object.
    """
    path = folder / _CONFIG
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


def _has_weights(folder: Path, engine: EngineKind) -> bool:
    return engine == "fake" or next(folder.glob("*.safetensors"), None) is not None


def _capabilities(described: dict[str, Any], folder: Path) -> tuple[Capability, ...]:
    has_preprocessor = any(
        isfile(folder / name) for name in ("preprocessor_config.json", "processor_config.json")
    )
    if isinstance(described.get("vision_config"), dict) and has_preprocessor:
        return ("text", "vision")
    return ("text",)


def _context_tokens(described: dict[str, Any]) -> int:
    text_config = described.get("text_config")
    for place in (text_config, described):
        if isinstance(place, dict):
            tokens = cast(dict[str, Any], place).get("max_position_embeddings")
            if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens > 0:
                return tokens
    return _CONTEXT_WITHOUT_WORD_TOKENS
