"""[keys] in cortex.toml: other keys for what the dashboard does.

TOML reads `table.filter = "f"` as a table in a table; here both spellings are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from cortex.tui.keys import KEYS, are_live_together, is_key

from ..errors import ConfigProblem
from .checking import Said, Table, nearest
from .kinds import BadValue, Kind
from .toml_file import TomlFile

SECTION = "keys"
_WORDS = 'a key such as "f", "?", "ctrl+f" or "f5", or a list of them'


def _read(value: object, _: object) -> str:
    keys = cast(list[object], value) if isinstance(value, list) else [value]
    if not keys or not all(isinstance(key, str) and is_key(key) and key != "," for key in keys):
        raise BadValue(_WORDS)
    return ",".join(cast(list[str], keys))


KEY = Kind(_WORDS, _read)


def read_keys(file: TomlFile, problems: list[ConfigProblem], said: list[Said]) -> Mapping[str, str]:
    """Keys by the ids of what they do, several with commas between them."""
    value = file.values.get(SECTION, {})
    if not isinstance(value, dict):
        what = f"{file.place_of(SECTION)}: '{SECTION}' is a section"
        problems.append(ConfigProblem(what, f"write [{SECTION}]"))
        return {}
    found: dict[str, str] = {}
    table = Table(file, SECTION, dict(_flat(cast(dict[str, object], value))))
    for id, wanted in table.entries.items():
        try:
            found[id] = _checked(table, id, wanted, found)
        except ConfigProblem as problem:
            problems.append(problem)
        else:
            said.append(Said(SECTION, id, KEY.show(found[id]), table.place_of(id)))
    return found


def _flat(values: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(cast(dict[str, object], value), f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _checked(table: Table, id: str, wanted: object, found: Mapping[str, str]) -> str:
    place = table.place_of(id)
    if id not in KEYS:
        raise ConfigProblem(f"{place}: [{SECTION}] has no action '{id}'", nearest(id, KEYS))
    try:
        keys = KEY.read(wanted, table.file.path.parent)
    except BadValue as error:
        raise ConfigProblem(
            f"{place}: [{SECTION}] {id} takes {error.expected}, not {wanted!r:.60}"
        ) from None
    for other, theirs in found.items():
        if not are_live_together(id, other):
            continue
        # Some share a key as they are, each where the other does nothing.
        shared = {*KEYS[id].key.split(",")} & {*KEYS[other].key.split(",")}
        if twice := ({*keys.split(",")} & {*theirs.split(",")}) - shared:
            what = f"{place}: [{SECTION}] {id} and {other} have the same key, {min(twice)}"
            raise ConfigProblem(what, "give one of them another")
    return keys
