"""[[neurons]] in cortex.toml: peers that are always tried, by a name and an address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import ConfigProblem
from ..places import parse_seed
from . import kinds
from .checking import Said, read_entries, say
from .kinds import Known
from .toml_file import TomlFile

NEURONS = "neurons"


NEURON_SETTINGS: Mapping[str, Known] = {
    "name": Known(kinds.text(), "What its owner calls it."),
    "endpoint": Known(
        kinds.parsed('an address such as "beast.internal:13132", or a URL', parse_seed),
        "The address of its fleet port, or the URL of its API.",
    ),
}


@dataclass(frozen=True, slots=True)
class Neuron:
    name: str
    endpoint: str


def read_neurons(
    file: TomlFile, problems: list[ConfigProblem], said: list[Said]
) -> tuple[Neuron, ...]:
    neurons: list[Neuron] = []
    for table, fields in read_entries(file, NEURONS, NEURON_SETTINGS, problems):
        if "endpoint" in fields:
            neuron = Neuron(fields.get("name") or fields["endpoint"], fields["endpoint"])
            neurons.append(neuron)
            said += say(table, neuron.name, fields, NEURON_SETTINGS)
        elif "endpoint" not in table.entries:
            problems.append(
                ConfigProblem(
                    f"{table.place_of()}: a neuron needs an endpoint",
                    'write endpoint = "HOST:13132" below [[neurons]]',
                )
            )
    return tuple(neurons)
