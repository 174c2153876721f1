"""The models on this machine's disks, found without torch.

A model is a folder with config.json, tokenizer.json and safetensors files, of an architecture that
the engine in use serves. The catalogue reads configs and the names of tensors, never weights;
whether a model really loads is the engine's to say. A folder that is passed over is kept with the
reason, for whoever asks for it by its name. What may not be read is not there: a look and os.path
are asked, because the questions of Path raise PermissionError.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from os.path import isdir, isfile, realpath
from pathlib import Path
from typing import Any, cast

from cortex.engine.errors import ModelNotFound

from ..config import EngineKind, PeerConfig
from ..types import ModelInfo
from .abilities import capabilities_of
from .folder import (
    CONFIG_FILE,
    Unserved,
    foreign_weights,
    gguf_names,
    lacking,
    read_described,
    why_unserved,
)
from .likeness import nearest
from .look import Look

EMBEDDED_IDS: dict[EngineKind, str] = {"torch": "cortex-nano", "fake": "fake"}
_CONTEXT_WITHOUT_WORD_TOKENS = 4096
# Of a name that no model has: whoever made it up may have made it megabytes long.
_MAX_NAME_CHARS = 128
_ALIASES = "an alias in models.toml gives a model another name"
_REPOSITORY = "models--"  # how the folder of a repository begins in a Hugging Face cache
_UNREADABLE = Unserved("its config.json cannot be read", "fetch that file again")
_UNSPEAKABLE = Unserved("the name of its folder is no UTF-8", "give the folder another name")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What was found, in search order; the first one that chats is the default. `brings` is what
    to do where nothing was; `unreadable` are configs that are there and are none, and `unserved`
    is why folders were passed over, by the ids that their models would have.
    """

    models: tuple[ModelInfo, ...]
    unreadable: tuple[Path, ...] = ()
    place: str = "on this peer"
    brings: str = "cortex pull fetches one, --models DIR names a folder of some"
    unserved: Mapping[str, Unserved] = field(default_factory=dict[str, Unserved])

    def find(self, model_id: str) -> ModelInfo:
        """The model of that id.

        Raises ModelNotFound, with the nearest ids as the hint, or why it is not served.
        """
        model = next((model for model in self.models if model.id == model_id), None)
        if model is None:
            raise self.unknown(model_id)
        return model

    def unknown(self, model_id: str) -> ModelNotFound:
        if (unserved := self.unserved.get(model_id)) is not None:
            message = f"'{model_id}' is here, but cortex does not serve it: {unserved.reason}"
            return ModelNotFound(message, unserved.hint, param="model")
        is_long = len(model_id) > _MAX_NAME_CHARS
        shown = f"{model_id[:_MAX_NAME_CHARS]}…" if is_long else model_id
        hint = self._hint_for(shown)
        return ModelNotFound(f"model '{shown}' is not {self.place}", hint, param="model")

    def first_with_vision(self) -> ModelInfo | None:
        return next((model for model in self.models if model.sees_images), None)

    def _hint_for(self, model_id: str) -> str:
        ids = [model.id for model in self.models]
        if near := nearest(model_id, ids):
            return f"did you mean {' or '.join(near)}? {_ALIASES}"
        if ids:
            return f"there is: {', '.join(ids[:8])}{' …' if len(ids) > 8 else ''}; {_ALIASES}"
        return f"no model was found at all: {self.brings}"


def of_fleet(models: tuple[ModelInfo, ...], unserved: Mapping[str, Unserved]) -> Catalogue:
    """What all its peers have; `unserved` is what this one passes over."""
    brings = "start a peer that has some: cortex peer"
    return Catalogue(models, (), "in this fleet", brings, unserved)


def scan(config: PeerConfig, look: Look | None = None) -> Catalogue:
    """Look through all places once. An id found twice belongs to the first place."""
    if config.is_gateway:
        return Catalogue(())
    look = look or Look()
    models: dict[str, ModelInfo] = {}
    unserved: dict[str, Unserved] = {}
    unreadable: list[Path] = []
    named = {one.source.resolve(): one.id for one in config.models if one.source is not None}
    for model_id, folder in _candidates(config, look):
        if not _is_text(f"{model_id}{folder}"):
            unserved[model_id.encode("utf-8", "replace").decode()] = _UNSPEAKABLE
            continue
        # A folder that has been given an id goes by that alone.
        if model_id in models or (named and named.get(folder.resolve(), model_id) != model_id):
            continue
        try:
            model = _read_model(model_id, folder, config, look)
        except OSError:  # it went away while we looked
            continue
        except ValueError:
            unreadable.append(folder / CONFIG_FILE)
            model = _UNREADABLE
        if isinstance(model, ModelInfo):
            models[model_id] = model
        else:
            unserved.setdefault(model_id, model)
    return Catalogue(tuple(models.values()), tuple(unreadable), unserved=unserved)


def embedded_dir(config: PeerConfig) -> Path:
    """The folder of the model that ships inside the package, present or not."""
    if config.embedded_dir is not None:
        return config.embedded_dir
    name = EMBEDDED_IDS[config.engine]
    return Path(str(resources.files("cortex.engine"))) / "assets" / name


def _read_model(
    model_id: str, folder: Path, config: PeerConfig, look: Look
) -> ModelInfo | Unserved:
    """A folder as a model, or why it is none that this engine serves.

    Raises ValueError for a config.json that is none.
    """
    described = read_described(folder, look)
    if described is None:
        return _in_another_form(folder, look) or Unserved(
            "it has no config.json, and is no model in the layout that transformers reads",
            "pull the repository that has one, with weights in safetensors",
        )
    if (unserved := why_unserved(described, config.engine)) is not None:
        return unserved
    if (name := lacking(folder, config.engine, look)) is not None:
        return _in_another_form(folder, look) or Unserved(
            f"{name} is missing", "it may be on its way; if not, fetch it again"
        )
    own_tokens = _context_tokens(described)
    return ModelInfo(
        id=model_id,
        dir=folder,
        capabilities=capabilities_of(described, folder, config.engine, look),
        context_length=min(own_tokens, config.model(model_id).context_tokens or own_tokens),
        created_s=int(look.stat(folder / CONFIG_FILE).st_mtime),
        wishes=config.wishes_for(model_id),
    )


def _in_another_form(folder: Path, look: Look) -> Unserved | None:
    """What is said where its weights are there, and cortex does not read them."""
    form = foreign_weights(folder, look)
    if form is None:
        return None
    return Unserved(
        f"its weights are in {form}, and cortex reads safetensors alone",
        "pull the repository that has them in safetensors, or convert them",
    )


def pulling_dir(config: PeerConfig) -> Path:
    """Where models are put that come."""
    locations = config.locations
    named = first_that_takes_models(config.models_dirs, locations.hub_dir)
    return locations.data_dir / "models" if named is None else named


def first_that_takes_models(folders: Iterable[Path], hub_dir: Path | None) -> Path | None:
    """The first where models may be put: it is no model itself, and not a Hugging Face cache, where
    other programs put theirs.
    """

    def takes_models(folder: Path) -> bool:
        is_cache = is_in_hub_cache(folder, hub_dir) or any(_repositories(folder))
        return not is_cache and not isfile(folder / CONFIG_FILE)

    return next(filter(takes_models, folders), None)


def _candidates(config: PeerConfig, look: Look) -> Iterator[tuple[str, Path]]:
    for model in config.models:
        if model.source is not None:
            yield model.id, model.source
    roots = (*config.models_dirs, *config.locations.models_dirs)
    for root in roots:
        yield from _in_models_dir(root, look)
    # After all plain folders: what was pulled although a cache has it is what is served.
    hub_dir = config.locations.hub_dir
    for cache in (*roots, *([] if hub_dir is None else [hub_dir])):
        yield from _in_cache(cache, config.engine, look)
    yield EMBEDDED_IDS[config.engine], embedded_dir(config)


def _in_models_dir(root: Path, look: Look) -> Iterator[tuple[str, Path]]:
    """The folder itself, NAME, or ORG/NAME below it; hidden ones come or go. Those of GGUF are
    passed over, but not in silence, nor are its files that lie there by themselves.
    """
    if look.is_file(root / CONFIG_FILE):
        yield root.resolve().name, root
        return
    if ggufs := gguf_names(root, look):
        yield root.resolve().name, root
    for name in ggufs:
        yield name.removesuffix(".gguf"), root
    for child in _folders(root):
        if child.name.startswith("."):
            continue
        if look.is_file(child / CONFIG_FILE):
            yield child.name, child
            continue
        if _is_repository(child):
            continue
        if gguf_names(child, look):
            yield child.name, child
        for grandchild in _folders(child):
            if look.is_file(grandchild / CONFIG_FILE) or gguf_names(grandchild, look):
                yield f"{child.name}/{grandchild.name}", grandchild


def _in_cache(root: Path, engine: EngineKind, look: Look) -> Iterator[tuple[str, Path]]:
    """The current snapshots of the repositories in a Hugging Face cache."""
    for repository in _repositories(root):
        snapshot = _current_snapshot(repository, engine, look)
        if snapshot is not None:
            yield repository.name.removeprefix(_REPOSITORY).replace("--", "/", 1), snapshot


def _repositories(root: Path) -> Iterator[Path]:
    return (folder for folder in _folders(root) if _is_repository(folder))


def _is_repository(folder: Path) -> bool:
    """Of a Hugging Face cache: a plain folder may have such a name as well."""
    return folder.name.startswith(_REPOSITORY) and isdir(folder / "snapshots")


def is_in_hub_cache(folder: Path, hub_dir: Path | None) -> bool:
    """Whether a folder is, or lies however deep in, a Hugging Face cache: the usual one, or a
    repository of another.
    """
    place = Path(realpath(folder))
    if hub_dir is not None and place.is_relative_to(realpath(hub_dir)):
        return True
    return any(_is_repository(one) for one in (place, *place.parents))


def _current_snapshot(repository: Path, engine: EngineKind, look: Look) -> Path | None:
    """That of main if it is whole, for some tools fetch a new main's config alone; else the newest
    that is; else that of main, or the newest.
    """
    snapshots = _folders(repository / "snapshots")
    if len(snapshots) <= 1:
        return snapshots[0] if snapshots else None
    try:
        commit = look.made(repository / "refs" / "main", _read_commit)
    except (OSError, ValueError):
        commit = ""
    snapshots.sort(key=_modified_s, reverse=True)
    snapshots.sort(key=lambda folder: folder.name != commit)
    whole = (folder for folder in snapshots if lacking(folder, engine, look) is None)
    return next(whole, snapshots[0])


def _read_commit(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()


def _modified_s(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _is_text(path: str) -> bool:
    """Whether others can be told of it: file systems take names that are no UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(child for child in root.iterdir() if isdir(child))
    except OSError:
        return []


def _context_tokens(described: Mapping[str, Any]) -> int:
    text_config = described.get("text_config")
    for place in (text_config, described):
        if isinstance(place, dict):
            tokens = cast(dict[str, Any], place).get("max_position_embeddings")
            if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens > 0:
                return tokens
    return _CONTEXT_WITHOUT_WORD_TOKENS
