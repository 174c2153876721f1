"""cortex.toml, and models.toml beside it, read against the tables of settings.

It gives values and does nothing with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from cortex.peer.config import ModelConfig

from ..errors import ConfigProblem
from .checking import Table, nearest, read_table
from .models_file import read_models, too_narrow
from .neurons import NEURONS, Neuron, read_neurons
from .sections import SECTIONS, OfConfig, OfOptions, Sections
from .toml_file import TomlFile, read_toml

_NAME = "cortex.toml"
MODELS_NAME = "models.toml"


def _nothing() -> Mapping[tuple[str, str], Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the files say: values by section and key, with their places, static members, models."""

    file: Path | None = None
    values: Mapping[tuple[str, str], Any] = field(default_factory=_nothing)
    places: Mapping[tuple[str, str], str] = field(default_factory=_nothing)
    neurons: tuple[Neuron, ...] = ()
    models_file: Path | None = None
    models: tuple[ModelConfig, ...] = ()

    def options_of(self, command: str, sections: Sections = SECTIONS) -> dict[str, object]:
        """What a command's options are where neither it nor the environment says more."""
        options: dict[str, object] = {}
        for (section, key), value in self.values.items():
            setting = sections[section][key]
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

    def fields(self, sections: Sections = SECTIONS) -> dict[str, object]:
        """What PeerConfig's fields are, by FIELD or GROUP.FIELD."""
        named: dict[str, object] = {}
        for (section, key), value in self.values.items():
            setting = sections[section][key]
            if isinstance(setting, OfConfig):
                named[setting.field] = value
        if self.models:
            named["models"] = self.models
            named["names.aliases"] = {
                alias: model.id for model in self.models for alias in model.aliases
            }
        return named


def find_file(named: Path | None, folders: Iterable[Path]) -> Path | None:
    """The file that was named, else the first that lies in one of the folders."""
    if named is not None:
        return named
    return next((path for folder in folders if (path := folder / _NAME).is_file()), None)


def read_settings(path: Path | None, sections: Sections = SECTIONS) -> Settings:
    """What a file says, and the file of models beside it; None says nothing.

    Raises ConfigProblem, for the first thing that is wrong.
    """
    settings, problems = examine(path, sections)
    if problems:
        raise problems[0]
    return settings


def examine(
    path: Path | None, sections: Sections = SECTIONS
) -> tuple[Settings, tuple[ConfigProblem, ...]]:
    """What can be taken of the files, and all that is wrong with the rest."""
    if path is None:
        return Settings(), ()
    problems: list[ConfigProblem] = []
    values: dict[tuple[str, str], Any] = {}
    places: dict[tuple[str, str], str] = {}
    neurons: tuple[Neuron, ...] = ()
    if (file := _opened(path, problems)) is not None:
        for table in _tables_of(file, sections, problems):
            found = read_table(table, sections[table.section], problems, sections)
            problems += too_narrow(table, found)
            for key, value in found.items():
                values[table.section, key] = value
                places[table.section, key] = table.place_of(key)
        neurons = read_neurons(file, problems)
    beside = path.parent / MODELS_NAME
    models_file = _opened(beside, problems) if beside.is_file() else None
    models = read_models(models_file, problems) if models_file is not None else ()
    settings = Settings(
        path, values, places, neurons, models_file.path if models_file else None, models
    )
    return settings, tuple(problems)


def _opened(path: Path, problems: list[ConfigProblem]) -> TomlFile | None:
    try:
        return read_toml(path)
    except ConfigProblem as problem:
        problems.append(problem)
        return None


def _tables_of(
    file: TomlFile, sections: Sections, problems: list[ConfigProblem]
) -> Iterable[Table]:
    for section, value in file.values.items():
        place = file.place_of(section)
        if section == NEURONS:
            continue
        if section not in sections:
            names = [*(f"[{name}]" for name in sections), f"[[{NEURONS}]]"]
            what = f"{place}: there is no section [{section}]"
            problems.append(ConfigProblem(what, nearest(section, names)))
        elif not isinstance(value, dict):
            what = f"{place}: '{section}' is a section"
            problems.append(ConfigProblem(what, f"write [{section}]"))
        else:
            yield Table(file, section, cast(dict[str, object], value))
