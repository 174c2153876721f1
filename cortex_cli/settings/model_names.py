"""models.toml: the models that have further names. Nothing else is said of a model there yet."""

from __future__ import annotations

import re
from typing import cast

from ..errors import ConfigProblem
from .toml_file import TomlFile

_FIELDS = ("id", "aliases")
_EXAMPLE = '[[models]] with id = "ID" and aliases = ["NAME"]'
# As they stand in paths and replies.
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:@+-]{0,127}")


def read_aliases(file: TomlFile) -> dict[str, str]:
    """Which alias leads to which id.

    Raises ConfigProblem.
    """
    aliases: dict[str, str] = {}
    for name in file.values:
        if name != "models":
            raise _problem(file, f"'{name}' means nothing there", section=name)
    for entry in _entries(file):
        model_id = entry.get("id")
        if not isinstance(model_id, str) or not model_id:
            raise _problem(file, f"id takes a model's id, not {model_id!r}", key="id")
        for alias in _aliases_of(file, entry):
            if alias in aliases:
                both = f"'{aliases[alias]}' and '{model_id}'"
                raise _problem(file, f"the alias '{alias}' is one of {both}", key="aliases")
            aliases[alias] = model_id
    return aliases


def _entries(file: TomlFile) -> list[dict[str, object]]:
    entries = file.values.get("models", [])
    if not isinstance(entries, list):
        raise _problem(file, "models takes a list of tables")
    tables = cast(list[object], entries)
    if not all(isinstance(entry, dict) for entry in tables):
        raise _problem(file, "models takes a list of tables")
    found = cast(list[dict[str, object]], tables)
    for entry in found:
        for field in entry:
            if field not in _FIELDS:
                raise _problem(file, f"a model has no setting '{field}'", key=field)
    return found


def _aliases_of(file: TomlFile, entry: dict[str, object]) -> list[str]:
    value = entry.get("aliases", [])
    plain = cast(list[object], value) if isinstance(value, list) else [None]
    for alias in plain:
        if not isinstance(alias, str) or not _ALIAS.fullmatch(alias):
            raise _problem(file, f"aliases takes a list of names, not {value!r:.60}", key="aliases")
    return cast(list[str], plain)


def _problem(
    file: TomlFile, what: str, *, section: str = "models", key: str | None = None
) -> ConfigProblem:
    return ConfigProblem(f"{file.place_of(section, key)}: {what}", f"write {_EXAMPLE}")
