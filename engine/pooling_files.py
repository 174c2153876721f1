"""How a model folder wants its vectors made, in the layout of sentence-transformers.

`modules.json` lists what follows the model: a pooling, with its config in a folder of its own, and
perhaps a normalisation. A folder without that list is a language model like any other: its last
token has seen all of the text, and vectors of length one are what clients expect. What stands in
the list and is not known here makes a folder that does not embed. The prompts that such a folder
may suggest are the client's to write.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from .errors import ModelInvalid
from .model_files import read_json_object
from .types import Pooling

_DEFAULT_POOLING_DIR = "1_Pooling"
# Flags of a pooling's config, which older folders hold, by the word that newer ones hold instead.
_FLAGS = {
    "cls": "pooling_mode_cls_token",
    "lasttoken": "pooling_mode_lasttoken",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
}
_SERVED: dict[str, Literal["last", "mean"]] = {"lasttoken": "last", "mean": "mean"}


@dataclass(frozen=True, slots=True)
class NoPooling:
    """Why a folder gives no vectors, in a person's words."""

    reason: str


def read_pooling(model_dir: Path, config: Mapping[str, Any]) -> Pooling | NoPooling:
    """The folder's own way, with all the model's dimensions; `config` is its config.json."""
    inner: object = config.get("text_config")
    fields = cast(Mapping[str, Any], inner) if isinstance(inner, dict) else config
    hidden_size = fields.get("hidden_size")
    if not isinstance(hidden_size, int) or isinstance(hidden_size, bool) or hidden_size < 1:
        return NoPooling("config.json does not say its hidden_size")
    try:
        return _read(model_dir, hidden_size)
    except ModelInvalid as error:
        return NoPooling(error.message)


def _read(model_dir: Path, hidden_size: int) -> Pooling | NoPooling:
    modules = _read_modules(model_dir / "modules.json")
    if modules is None:
        return Pooling("last", True, hidden_size)
    kinds = [kind for kind, _ in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return NoPooling(
            f"modules.json lists {', '.join(kinds) or 'nothing'}, and what is served is a"
            " Transformer, a Pooling and perhaps a Normalize"
        )
    folder = modules[1][1] or _DEFAULT_POOLING_DIR
    if folder == ".." or Path(folder).name != folder or "\0" in folder:
        return NoPooling("modules.json names a folder of the pooling that is not within its own")
    mode = _read_mode(model_dir / folder / "config.json")
    if mode not in _SERVED:
        return NoPooling(f"its pooling is {mode!r}, and what is served is lasttoken and mean")
    return Pooling(_SERVED[mode], "Normalize" in kinds, hidden_size)


def _read_modules(path: Path) -> list[tuple[str, str]] | None:
    """Each module by the last word of its type, and its folder; None where nothing is listed."""
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
        return [(str(module["type"]).split(".")[-1], str(module["path"])) for module in value]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelInvalid(f"{path} is no list of modules") from error


def _read_mode(path: Path) -> str:
    config = read_json_object(path)
    word = config.get("pooling_mode")
    if isinstance(word, str):
        return word
    return " and ".join(mode for mode, flag in _FLAGS.items() if config.get(flag) is True)
