"""Every setting with the value that it has, and where that came from. Pure.

What a command would take is asked of whoever has read its options.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cortex.peer.config import Locations, PeerConfig

from ..config import with_fields
from .reading import Settings
from .sections import SECTIONS, OfConfig, OfOptions, Setting

Source = Literal["option", "environment", "file", "default"]


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a command as it was taken; `long` and `variable` are its names.

    With `is_path` its value names files or folders, as they were typed.
    """

    value: Any
    source: Source
    long: str
    variable: str
    is_path: bool = False


# By the command's name and the parameter's.
Options = Mapping[str, Mapping[str, Option]]


@dataclass(frozen=True, slots=True)
class Origin:
    """`text` is the value as the file spells it, "" where there is none."""

    section: str
    key: str
    text: str
    place: str

    @property
    def value(self) -> object:
        return json.loads(self.text) if self.text else None


def origins(settings: Settings, options: Options, command: str) -> Iterator[Origin]:
    """`command` is whose options count where several commands have them."""
    config = with_fields(PeerConfig(Locations(Path(), Path())), settings.fields())
    for section, known in SECTIONS.items():
        for key, setting in known.items():
            place = settings.places.get((section, key), "default")
            if isinstance(setting, OfConfig):
                text = _spelt(setting, field_of(config, setting))
                option = options[command].get(setting.option)
                if option is not None and option.source in ("option", "environment"):
                    text, place = _spelt(setting, option.value), _place_of(option, place)
            else:
                text, place = _of_options(setting, options, command, place)
            yield Origin(section, key, text, place)
    for said in settings.said:
        yield Origin(said.section, said.key, said.text, said.place)


def field_of(config: PeerConfig, setting: OfConfig) -> Any:
    group, _, name = setting.field.rpartition(".")
    return getattr(getattr(config, group) if group else config, name)


def _of_options(setting: OfOptions, options: Options, command: str, place: str) -> tuple[str, str]:
    whose = command if command in setting.commands else next(iter(setting.commands), "peer")
    taken = [options[whose][name] for name in setting.options]
    values = tuple(option.value for option in taken)
    places = dict.fromkeys(_place_of(option, place) for option in taken)
    return _spelt(setting, values[0] if len(values) == 1 else values), ", ".join(places)


def _place_of(option: Option, place: str) -> str:
    match option.source:
        case "option":
            return option.long
        case "environment":
            return f"${option.variable}"
        case "file":
            return place
        case "default":
            return "default"


def _spelt(setting: Setting, value: Any) -> str:
    if value is None:
        return setting.kind.none
    return "" if value in ((), []) else setting.kind.show(value)
