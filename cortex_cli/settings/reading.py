"""cortex.toml, and models.toml beside it, read against the tables of settings.

It gives values and does nothing with them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from cortex.peer.config import ModelConfig

from ..errors import ConfigProblem
from . import keys
from .checking import Said, Table, nearest, read_table
from .models_file import read_models, too_narrow
from .neurons import NEURONS, Neuron, read_neurons
from .sections import SECTIONS, OfConfig, OfOptions
from .toml_file import TomlFile, read_toml

NAME = "cortex.toml"
MODELS_NAME = "models.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the files say: values by section and key, with their places, static members, models,
    keys of the dashboard, and what is said of these one by one.
    """

    file: Path | None = None
    values: Mapping[tuple[str, str], Any] = field(default_factory=dict[tuple[str, str], Any])
    places: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], Any])
    neurons: tuple[Neuron, ...] = ()
    models_file: Path | None = None
    models: tuple[ModelConfig, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict[str, str])
    said: tuple[Said, ...] = ()

    def options_of(self, command: str) -> dict[str, object]:
        """What a command's options are where neither it nor the environment says more."""
        options: dict[str, object] = {}
        for (section, key), value in self.values.items():
            setting = SECTIONS[section][key]
            if isinstance(setting, OfOptions) and (
                not setting.commands or command in setting.commands
            ):
                parts = value if len(setting.options) > 1 else (value,)
                options.update(zip(setting.options, parts, strict=True))
        return {name: value for name, value in options.items() if value is not None}

    @property
    def models_dirs(self) -> tuple[Path, ...]:
        return tuple(map(Path, self.values.get(("peer", "models"), ())))

    @property
    def join(self) -> tuple[str, ...]:
        return tuple(self.values.get(("fleet", "join"), ()))

    def fields(self) -> dict[str, object]:
        """What PeerConfig's fields are, by FIELD or GROUP.FIELD."""
        named: dict[str, object] = {}
        for (section, key), value in self.values.items():
            setting = SECTIONS[section][key]
            if isinstance(setting, OfConfig):
                named[setting.field] = value
        if self.models:
            named["models"] = self.models
            named["names.aliases"] = {
                alias: model.id for model in self.models for alias in model.aliases
            }
        return named


def find_file(named: Path | None, folders: Iterable[Path]) -> Path | None:
    """The file that was named, else the first that lies in one of the folders. One that is closed
    to us holds none.
    """
    if named is not None:
        return named
    return next((path for folder in folders if os.path.isfile(path := folder / NAME)), None)


def read_settings(path: Path | None) -> Settings:
    """What a file says, and the file of models beside it; None says nothing.

    Raises ConfigProblem, for the first thing that is wrong.
    """
    settings, problems = examine(path)
    if problems:
        raise problems[0]
    return settings


def examine(path: Path | None) -> tuple[Settings, tuple[ConfigProblem, ...]]:
    """What can be taken of the files, and all that is wrong with the rest. A file of models may
    stand alone.
    """
    if path is None:
        return Settings(), ()
    problems: list[ConfigProblem] = []
    values: dict[tuple[str, str], Any] = {}
    places: dict[tuple[str, str], str] = {}
    neurons: tuple[Neuron, ...] = ()
    rebound: Mapping[str, str] = {}
    said: list[Said] = []
    is_of_models = path.name == MODELS_NAME
    if not is_of_models and (file := _opened(path, problems)) is not None:
        for table in _tables_of(file, problems):
            found = read_table(table, SECTIONS[table.section], problems, SECTIONS)
            problems += too_narrow(table, found)
            for key, value in found.items():
                values[table.section, key] = value
                places[table.section, key] = table.place_of(key)
        neurons = read_neurons(file, problems, said)
        rebound = keys.read_keys(file, problems, said)
    beside = path.parent / MODELS_NAME
    is_there = is_of_models or os.path.isfile(beside)
    models_file = _opened(beside, problems) if is_there else None
    models = read_models(models_file, problems, said) if models_file is not None else ()
    settings = Settings(
        file=None if is_of_models else path,
        values=values,
        places=places,
        neurons=neurons,
        models_file=None if models_file is None else models_file.path,
        models=models,
        keys=rebound,
        said=tuple(said),
    )
    return settings, tuple(problems)


def _opened(path: Path, problems: list[ConfigProblem]) -> TomlFile | None:
    try:
        return read_toml(path)
    except ConfigProblem as problem:
        problems.append(problem)
        return None


def _tables_of(file: TomlFile, problems: list[ConfigProblem]) -> Iterable[Table]:
    for section, value in file.values.items():
        place = file.place_of(section)
        if section in (NEURONS, keys.SECTION):
            continue
        if section not in SECTIONS:
            names = [*(f"[{name}]" for name in SECTIONS), f"[[{NEURONS}]]", f"[{keys.SECTION}]"]
            what = f"{place}: there is no section [{section}]"
            problems.append(ConfigProblem(what, nearest(section, names)))
        elif not isinstance(value, dict):
            what = f"{place}: '{section}' is a section"
            problems.append(ConfigProblem(what, f"write [{section}]"))
        else:
            yield Table(file, section, cast(dict[str, object], value))
