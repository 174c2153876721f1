"""The tables of docs/config.md: every setting, what it takes and what it is by default."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cortex.cli.settings.models_file import MODEL_SETTINGS
from cortex.cli.settings.origins import field_of
from cortex.cli.settings.sections import SECTIONS, OfOptions, Setting
from cortex.peer.config import Locations, PeerConfig
from cortex.tui.keys import KEYS

# The options of commands, by the command's name and the parameter's.
Options = Mapping[str, Mapping[str, Any]]


def settings_tables(options: Options) -> dict[str, str]:
    """By what each is of: the sections, the keys of the dashboard, `models.toml`."""
    sections = (_section(name, settings, options) for name, settings in SECTIONS.items())
    keys = (_cells(f"`{id}`", use.says, f"`{_toml(use.key)}`") for id, use in KEYS.items())
    models = (_cells(f"`{key}`", one.says, one.kind.words) for key, one in MODEL_SETTINGS.items())
    return {
        "sections": "\n".join(sections),
        "keys": _table(("setting", "what it does", "default"), keys),
        "models": _table(("setting", "what it is", "takes"), models),
    }


def _section(name: str, settings: Mapping[str, Setting], options: Options) -> str:
    rows = (_row(key, setting, options) for key, setting in settings.items())
    return f"## [{name}]\n\n{_table(('setting', 'what it is', 'takes', 'default'), rows)}"


def _table(head: Sequence[str], rows: Iterable[str]) -> str:
    return f"{_cells(*head)}|{'---|' * len(head)}\n{''.join(rows)}"


def _row(key: str, setting: Setting, options: Options) -> str:
    name = f"`{key}`{' *' if setting.is_live else ''}"
    return _cells(name, setting.says, setting.kind.words, _default(setting, options))


def _cells(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _toml(keys: str) -> str:
    """As they stand in cortex.toml."""
    several = keys.split(",")
    return json.dumps(several if len(several) > 1 else keys)


def _default(setting: Setting, options: Options) -> str:
    if isinstance(setting, OfOptions):
        return ", ".join(_names(setting, options))
    default = field_of(PeerConfig(Locations(Path(), Path())), setting)
    shown = "none" if default in (None, ()) else f"`{setting.kind.show(default)}`"
    return f"{shown}; {_name(options['peer'][setting.option])}" if setting.option else shown


def _names(setting: OfOptions, options: Options) -> Iterator[str]:
    for name in setting.options:
        yield f"that of {_name(options[(setting.commands or ('peer',))[0]][name])}"


def _name(option: Any) -> str:
    long = next(one for one in option.opts if one.startswith("--"))
    return f"`{long}` (`{option.envvar}`)"
