"""[[neurons]] in cortex.toml: peers that are always tried, by a name and an address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from ..errors import ConfigProblem, UsageProblem
from ..places import parse_seed
from .toml_file import TomlFile

NEURONS = "neurons"
_FIELDS = ("name", "endpoint")
_EXAMPLE = '[[neurons]] with name = "NAME" and endpoint = "HOST:13132"'


@dataclass(frozen=True, slots=True)
class Neuron:
    """`name` is what its owner calls it; `endpoint` is a fleet port's address, or an API's URL."""

    name: str
    endpoint: str


def read_neurons(file: TomlFile) -> tuple[Neuron, ...]:
    """Raises ConfigProblem."""
    entries = file.values.get(NEURONS, [])
    if not isinstance(entries, list):
        raise _problem(file, "neurons takes a list of tables")
    return tuple(_read(file, entry) for entry in cast(list[object], entries))


def _read(file: TomlFile, entry: object) -> Neuron:
    if not isinstance(entry, dict):
        raise _problem(file, "neurons takes a list of tables")
    fields = cast(dict[str, object], entry)
    for field in fields:
        if field not in _FIELDS:
            raise _problem(file, f"a neuron has no setting '{field}'", field)
    endpoint, name = fields.get("endpoint"), fields.get("name", "")
    if not isinstance(name, str):
        raise _problem(file, f"name takes a text, not {name!r:.60}", "name")
    if not isinstance(endpoint, str):
        raise _problem(file, f"endpoint takes an address, not {endpoint!r:.60}", "endpoint")
    try:
        address = parse_seed(endpoint)
    except UsageProblem as error:
        raise _problem(file, error.message.rstrip("."), "endpoint") from None
    return Neuron(name or address, address)


def _problem(file: TomlFile, what: str, key: str | None = None) -> ConfigProblem:
    return ConfigProblem(f"{file.place_of(NEURONS, key)}: {what}", f"write {_EXAMPLE}")
