"""One table of a file held against the settings that may stand there.

What is refused is named with its file, its line, its key and its value, and with the setting that
was probably meant. One problem hides no other: all are gathered.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from ..errors import ConfigProblem, NotThereYet
from .kinds import BadValue, Known, Missing
from .toml_file import TomlFile

_MAX_SHOWN_CHARS = 60
_FLEET_KEY = "cortex1-"
_SECRETS = ("key", "token", "secret", "pass")


@dataclass(frozen=True, slots=True)
class Said:
    """A value of an entry, as it could stand in a file, and where it does."""

    section: str
    key: str
    text: str
    place: str


@dataclass(frozen=True, slots=True)
class Table:
    """What stands below `[section]`, or with an `index` in that entry of `[[section]]`."""

    file: TomlFile
    section: str
    entries: Mapping[str, object]
    index: int | None = None

    @property
    def shown(self) -> str:
        return f"[{self.section}]" if self.index is None else f"[[{self.section}]]"

    def place_of(self, key: str | None = None) -> str:
        return self.file.place_of(self.section, key, self.index or 0)


def read_table(
    table: Table,
    settings: Mapping[str, Known],
    problems: list[ConfigProblem],
    elsewhere: Mapping[str, Iterable[str]] | None = None,
) -> dict[str, Any]:
    """The values that can be taken; the rest are problems. `elsewhere` has other sections' keys."""
    found: dict[str, Any] = {}
    for key, value in table.entries.items():
        try:
            found[key] = _checked(table, key, value, settings, elsewhere or {})
        except ConfigProblem as problem:
            problems.append(problem)
    return found


def read_entries(
    file: TomlFile,
    section: str,
    settings: Mapping[str, Known],
    problems: list[ConfigProblem],
) -> list[tuple[Table, dict[str, Any]]]:
    """The entries of `[[section]]`, each with those of its values that can be taken."""
    value = file.values.get(section, [])
    entries = cast(list[object], value) if isinstance(value, list) else [None]
    if not all(isinstance(entry, dict) for entry in entries):
        problems.append(
            ConfigProblem(
                f"{file.place_of(section)}: '{section}' is a list of tables",
                f"write [[{section}]] above each",
            )
        )
        return []
    plain = cast(list[dict[str, object]], entries)
    tables = [Table(file, section, entry, index) for index, entry in enumerate(plain)]
    return [(table, read_table(table, settings, problems)) for table in tables]


def nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"there is: {', '.join(names)}"


def _checked(
    table: Table,
    key: str,
    value: object,
    settings: Mapping[str, Known],
    elsewhere: Mapping[str, Iterable[str]],
) -> Any:
    place, setting = table.place_of(key), settings.get(key)
    if setting is None:
        others = [f"[{section}] {key}" for section, keys in elsewhere.items() if key in keys]
        raise ConfigProblem(
            f"{place}: {table.shown} has no setting '{key}'{_unless_secret(key, value)}",
            nearest(key, [*settings, *others]),
        )
    try:
        return setting.kind.read(value, table.file.path.parent.resolve())
    except BadValue as error:
        there = "" if error.is_secret else f", not {_shown(value)}"
        problem = NotThereYet if isinstance(error, Missing) else ConfigProblem
        raise problem(
            f"{place}: {table.shown} {key} takes {error.expected}{there}", error.hint
        ) from None


def _unless_secret(key: str, value: object) -> str:
    return "" if any(word in key.lower() for word in _SECRETS) else f" (= {_shown(value)})"


def _shown(value: object) -> str:
    text = repr(value)
    if _FLEET_KEY in text.lower():
        return "a fleet key"
    return text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}…"


def say(
    table: Table, name: str, fields: Mapping[str, Any], settings: Mapping[str, Known]
) -> list[Said]:
    """What an entry says, under a name that tells it from the others."""
    section = f"{table.section}.{name}"
    return [
        Said(section, key, settings[key].kind.show(value), table.place_of(key))
        for key, value in fields.items()
    ]
