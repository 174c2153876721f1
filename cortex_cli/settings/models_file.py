"""models.toml: what the operator says of single models, one table each."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from cortex.engine.wishes import DtypeWish
from cortex.peer.config import ModelConfig

from ..errors import ConfigProblem, UsageProblem
from ..places import parse_name
from . import kinds
from .checking import Said, Table, nearest, read_entries, say
from .kinds import Kind, Known
from .toml_file import TomlFile

MODELS = "models"
# As they stand in paths and replies.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:@+-]{0,127}")


@dataclass(frozen=True, slots=True)
class OfModel(Known):
    """`field` is one of ModelConfig's."""

    field: str


def _parse_alias(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise UsageProblem(f"{text!r:.80} is no name of a model.")
    return text


MODEL_SETTINGS: Mapping[str, OfModel] = {
    "id": OfModel(kinds.parsed("a model's id", _parse_alias), "Which model.", "id"),
    "source": OfModel(
        kinds.folder(), "Its folder, where no folder of models has it under that id.", "source"
    ),
    "aliases": OfModel(
        kinds.several("a list of names", _parse_alias), "What it answers to as well.", "aliases"
    ),
    "priority": OfModel(
        kinds.whole(-100, 100), "With `priority` evictions: the higher outlasts.", "priority"
    ),
    "pinned": OfModel(kinds.where(parse_name), "Where it is never unloaded.", "pinned"),
    "home": OfModel(
        kinds.where(parse_name), "Where it comes back when a guest has gone idle.", "home"
    ),
    "devices": OfModel(kinds.numbers(), "The devices that it may be on.", "devices"),
    "dtype": OfModel(kinds.choice(*get_args(DtypeWish)), "The numbers it is computed in.", "dtype"),
    "context": OfModel(
        kinds.whole(256),
        "Its longest context, in tokens, whatever `[engine] context` says.",
        "context_tokens",
    ),
    "slots": OfModel(
        kinds.whole(1, 128),  # what an engine does at most
        "Answers at one time; loaded with `--context`, of a whole one each if that fits.",
        "max_slots",
    ),
    "idle_ttl": OfModel(
        kinds.duration_or_never(1, never=math.inf),
        "How long it stays when nobody asks it.",
        "idle_ttl_s",
    ),
    "preload": OfModel(kinds.switch(), "Whether to load it at the start.", "is_preloaded"),
    "min_pixels": OfModel(kinds.whole(1), "Pictures are scaled up to this area.", "min_pixels"),
    "max_pixels": OfModel(kinds.whole(1), "Pictures are scaled down to this area.", "max_pixels"),
}
# Words of the design for what no engine does yet: a model is not quietly served otherwise.
_NOT_BUILT = {
    "quant": "weights are served as they are stored",
    "tp": "each model is on one device",
}


def read_models(
    file: TomlFile, problems: list[ConfigProblem], said: list[Said]
) -> tuple[ModelConfig, ...]:
    for name in file.values:
        if name != MODELS:
            what = f"{file.place_of(name)}: '{name}' means nothing here"
            problems.append(ConfigProblem(what, nearest(name, [f"[[{MODELS}]]"])))
    found: list[ModelConfig] = []
    whose: dict[str, str] = {}
    for table, fields in read_entries(file, MODELS, _KNOWN, problems):
        model = _model(fields)
        problems += _troubles(table, fields, model, whose)
        if model.id:
            whose |= dict.fromkeys((f"id {model.id}", *model.aliases), model.id)
            found.append(model)
            said += say(table, model.id, fields, _KNOWN)
    return tuple(found)


def _not_built(why: str) -> Kind:
    def read(value: object, _: object) -> object:
        raise kinds.BadValue(f"no value yet: {why}", "take the line out")

    return Kind("nothing yet", read)


_KNOWN = MODEL_SETTINGS | {
    key: OfModel(_not_built(why), "Not built yet.", key) for key, why in _NOT_BUILT.items()
}


def _model(fields: Mapping[str, Any]) -> ModelConfig:
    named = {_KNOWN[key].field: value for key, value in fields.items()}
    aliases = tuple(dict.fromkeys(named.pop("aliases", ())))
    return ModelConfig(id=named.pop("id", ""), aliases=aliases, **named)


def _troubles(
    table: Table, fields: Mapping[str, Any], model: ModelConfig, whose: Mapping[str, str]
) -> Iterator[ConfigProblem]:
    """What is wrong with the entry beside the others; `whose` are the names before it."""
    if "id" not in table.entries:
        yield ConfigProblem(f"{table.place_of()}: a model needs an id", 'write id = "ID"')
    if f"id {model.id}" in whose and model.id:
        where = table.place_of("id")
        yield ConfigProblem(f"{where}: '{model.id}' stands there twice", "say it all in one place")
    for alias in model.aliases:
        if alias in whose:
            both = f"'{whose[alias]}' and '{model.id}'"
            where = table.place_of("aliases")
            yield ConfigProblem(f"{where}: the alias '{alias}' is one of {both}", "drop it at one")
    yield from too_narrow(table, fields)


def too_narrow(table: Table, fields: Mapping[str, Any]) -> Iterator[ConfigProblem]:
    """Of a budget of pixels: that there is nothing between its ends."""
    least, most = fields.get("min_pixels", 0), fields.get("max_pixels", math.inf)
    if least > most:
        where = table.place_of("min_pixels")
        yield ConfigProblem(f"{where}: min_pixels is over max_pixels ({least} > {most})")
