"""What the options of a command are, as it would take them: typed, from the environment, from the
file of settings, or its defaults. The command itself does not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from .settings.origins import Option, Source

_SOURCES: dict[str, Source] = {
    "COMMANDLINE": "option",
    "ENVIRONMENT": "environment",
    "DEFAULT_MAP": "file",
}

# What typer calls the types of what is found on a disk.
_PATHS = ("path", "file", "directory")


def taken_options(context: typer.Context, command: str, words: Sequence[str]) -> dict[str, Option]:
    """By their parameters' names; `words` are what would be typed behind the command."""
    root = context.find_root()
    commands: Any = root.command
    known = commands.commands[command]
    inner = known.make_context(command, list(words), parent=root)
    return {
        option.name: Option(
            inner.params.get(option.name),
            _SOURCES.get(getattr(inner.get_parameter_source(option.name), "name", ""), "default"),
            next((one for one in option.opts if one.startswith("--")), ""),
            option.envvar or "",
            is_path=option.type.name in _PATHS,
        )
        for option in known.params
    }
