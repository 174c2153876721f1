"""The parts of a model folder that turn chats into prompts: no weights, no torch.

Loads and cross-checks tokenizer, template, picture settings and defaults, and keeps the last few
folders loaded, noticing when their files change.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from .chat.habits import TemplateHabits, find_habits
from .errors import ModelInvalid
from .generation import GenerationDefaults, read_generation_defaults
from .model_files import read_json_object
from .parsers.family import ReplyFamily, find_family
from .pooling_files import NoPooling, read_pooling
from .preprocessor import Preprocessor, read_preprocessor
from .template import ChatTemplate, NoTemplate, find_template
from .text_files import TEXT_FILES
from .tokenizer import Tokenizer
from .types import Pooling

_FilesState = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Vision:
    """How this model takes pictures. `pad_id` stands in the prompt once per merged cell, and
    `mark_ids` before and behind each picture. `place_ids` are that and the place of a video:
    no client may write one, for nothing would be shown there.
    """

    pad_id: int
    mark_ids: frozenset[int]
    place_ids: frozenset[int]
    preprocessor: Preprocessor


@dataclass(frozen=True, slots=True)
class ChatForm:
    """How this model's chats are written, and what their answers may hold."""

    template: ChatTemplate
    habits: TemplateHabits
    family: ReplyFamily


@dataclass(frozen=True, slots=True)
class TextModel:
    """`chat` is None where the folder has no template: it takes plain text alone. `vocab_size` is
    one more than the largest token id that tokenizer and weights both have.
    """

    tokenizer: Tokenizer
    vocab_size: int
    chat: ChatForm | None
    defaults: GenerationDefaults
    vision: Vision | None
    pooling: Pooling | NoPooling


def load_text_model(model_dir: Path, clock: Callable[[], float] = time.monotonic) -> TextModel:
    """Read a folder's text side.

    Raises ModelInvalid, naming the file or field, for what cannot be served exactly.
    """
    config = read_json_object(model_dir / "config.json")
    tokenizer = Tokenizer(model_dir / "tokenizer.json", clock)
    template = find_template(model_dir)
    turn_end_id = tokenizer.special_id(template.variables.get("eos_token", ""))
    return TextModel(
        tokenizer=tokenizer,
        vocab_size=min(tokenizer.vocab_size, _table_size(config) or tokenizer.vocab_size),
        chat=None if isinstance(template, NoTemplate) else _chat_form(template),
        defaults=read_generation_defaults(model_dir, config, turn_end_id),
        vision=_read_vision(model_dir, config, tokenizer),
        pooling=read_pooling(model_dir, config),
    )


def _chat_form(template: ChatTemplate) -> ChatForm:
    return ChatForm(template, find_habits(template), find_family(template))


class TextModels:
    """The last few folders used; may be asked from several threads."""

    def __init__(self, capacity: int = 4, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = capacity
        self._clock = clock
        self._lock = threading.Lock()
        self._models: OrderedDict[Path, tuple[_FilesState, Future[TextModel]]] = OrderedDict()

    def get(self, model_dir: Path) -> TextModel:
        """The folder as it is now on disk, loaded again only if its files have changed.

        Whoever asks for it meanwhile waits for one load, and nobody for another folder's. Raises
        ModelInvalid.
        """
        state = _files_state(model_dir)
        with self._lock:
            known = self._models.get(model_dir)
            is_first = known is None or known[0] != state
            if known is None or is_first:
                known = self._models[model_dir] = (state, Future())
            self._models.move_to_end(model_dir)
            while len(self._models) > self._capacity:
                self._models.popitem(last=False)
        if is_first:
            self._load(model_dir, known[1])
        return known[1].result()

    def forget(self) -> None:
        """Let go of the texts that no client has sent for long; the folders stay loaded."""
        with self._lock:
            loads = [loading for _, loading in self._models.values()]
        for loading in loads:
            if loading.done() and loading.exception() is None:
                loading.result().tokenizer.forget()

    def _load(self, model_dir: Path, loading: Future[TextModel]) -> None:
        try:
            loading.set_result(load_text_model(model_dir, self._clock))
        except BaseException as error:
            with self._lock:
                if (known := self._models.get(model_dir)) is not None and known[1] is loading:
                    del self._models[model_dir]
            loading.set_exception(error)


def _files_state(model_dir: Path) -> _FilesState:
    """Name, time and size of each file that is there."""
    present = [name for name in TEXT_FILES if (model_dir / name).exists()]
    stats = [(name, (model_dir / name).stat()) for name in present]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)


def _table_size(config: Mapping[str, Any]) -> int | None:
    """How many tokens the weights have: what is no number is the engine's to refuse."""
    inner: object = config.get("text_config")
    fields = cast(Mapping[str, Any], inner) if isinstance(inner, dict) else config
    size = fields.get("vocab_size")
    return size if isinstance(size, int) else None


def _read_vision(model_dir: Path, config: Mapping[str, Any], tokenizer: Tokenizer) -> Vision | None:
    vision_config = config.get("vision_config")
    preprocessor = read_preprocessor(model_dir)
    if not isinstance(vision_config, dict) or preprocessor is None:
        return None
    fields = cast(dict[str, Any], vision_config)
    for name, ours in (
        ("patch_size", preprocessor.patch_size),
        ("spatial_merge_size", preprocessor.merge_size),
        ("temporal_patch_size", preprocessor.temporal_patch_size),
    ):
        if fields.get(name) != ours:
            raise ModelInvalid(
                f"{model_dir}: vision_config.{name} is {fields.get(name)!r} in config.json,"
                f" but {ours} in the preprocessor's file"
            )
    pad_id = config.get("image_token_id")
    # Were it not a control token, a client could write it and shift every picture after it.
    if not isinstance(pad_id, int) or not tokenizer.is_special(pad_id):
        raise ModelInvalid(
            f"{model_dir}: image_token_id = {pad_id!r} is not a special token of tokenizer.json"
        )
    marks = (config.get(f"vision_{end}_token_id") for end in ("start", "end"))
    video_pad_id = config.get("video_token_id")
    places = {pad_id, video_pad_id} if isinstance(video_pad_id, int) else {pad_id}
    return Vision(pad_id, frozenset(filter(None, marks)), frozenset(places), preprocessor)
