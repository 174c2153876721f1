"""cortex.toml read against the table of settings: every value checked, every stranger refused.

It gives values and does nothing with them. What is refused is named with its file, its line, its
key and its value, and with the setting that was probably meant.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ..errors import ConfigProblem
from .kinds import BadValue
from .model_names import read_aliases
from .neurons import NEURONS, Neuron, read_neurons
from .sections import SECTIONS, OfConfig, OfOptions, Sections
from .toml_file import TomlFile, read_toml

_NAME = "cortex.toml"
_MODELS_NAME = "models.toml"
_MAX_SHOWN_CHARS = 60


def _nothing() -> Mapping[tuple[str, str], Any]:
    return {}


def _no_aliases() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the files say: values by section and key, static members, and aliases of models."""

    file: Path | None = None
    values: Mapping[tuple[str, str], Any] = field(default_factory=_nothing)
    aliases: Mapping[str, str] = field(default_factory=_no_aliases)
    neurons: tuple[Neuron, ...] = ()

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

    def fields(self, sections: Sections = SECTIONS) -> dict[str, object]:
        """What PeerConfig's fields are, by FIELD or GROUP.FIELD."""
        named: dict[str, object] = {}
        for (section, key), value in self.values.items():
            setting = sections[section][key]
            if isinstance(setting, OfConfig):
                named[setting.field] = value
        return named | ({"names.aliases": self.aliases} if self.aliases else {})


def find_file(named: Path | None, folders: Iterable[Path]) -> Path | None:
    """The file that was named, else the first that lies in one of the folders."""
    if named is not None:
        return named
    return next((path for folder in folders if (path := folder / _NAME).is_file()), None)


def read_settings(path: Path | None, sections: Sections = SECTIONS) -> Settings:
    """What a file says, and the file of models beside it; None says nothing.

    Raises ConfigProblem.
    """
    if path is None:
        return Settings()
    file = read_toml(path)
    values: dict[tuple[str, str], Any] = {}
    for section, table in file.values.items():
        if section == NEURONS:
            continue
        for key, value in _keys_of(file, section, table, sections).items():
            values[section, key] = _checked(file, section, key, value, sections)
    models = path.parent / _MODELS_NAME
    aliases = read_aliases(read_toml(models)) if models.is_file() else {}
    return Settings(path, values, aliases, read_neurons(file))


def _keys_of(file: TomlFile, section: str, table: object, sections: Sections) -> dict[str, object]:
    if section not in sections:
        raise ConfigProblem(
            f"{file.place_of(section)}: there is no section [{section}]",
            _nearest(section, [*(f"[{name}]" for name in sections), f"[[{NEURONS}]]"]),
        )
    if not isinstance(table, dict):
        raise ConfigProblem(
            f"{file.place_of(section)}: '{section}' is a section", f"write [{section}]"
        )
    return cast(dict[str, object], table)


def _checked(file: TomlFile, section: str, key: str, value: object, sections: Sections) -> Any:
    place = file.place_of(section, key)
    setting = sections[section].get(key)
    if setting is None:
        raise ConfigProblem(
            f"{place}: [{section}] has no setting '{key}'{_unless_secret(key, value)}",
            _nearest(key, [*sections[section], *_elsewhere(key, sections)]),
        )
    try:
        return setting.kind.read(value, file.path.parent.resolve())
    except BadValue as error:
        there = "" if error.is_secret else f", not {_shown(value)}"
        raise ConfigProblem(
            f"{place}: [{section}] {key} takes {error.expected}{there}", error.hint
        ) from None


def _elsewhere(key: str, sections: Sections) -> list[str]:
    return [f"[{section}] {key}" for section, settings in sections.items() if key in settings]


def _nearest(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"there is: {', '.join(names)}"


def _unless_secret(key: str, value: object) -> str:
    is_secret = any(word in key.lower() for word in ("key", "token", "secret", "pass"))
    return "" if is_secret else f" (= {_shown(value)})"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}…"
