"""The commands, by what people do with them. What a command is made of is imported when it is asked
for: help, TAB and every other command would pay for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, cast

import typer
from typer.core import TyperGroup

from .shared_options import name_variables, share
from .spreading import spread

# A command is the function of its name, in the file of its name.
SECTIONS: Mapping[str, Mapping[str, str]] = {
    "Ask": {
        "chat": "Ask a model about text and pictures.",
        "launch": "Start a coding agent that asks this fleet.",
    },
    "Serve": {
        "peer": "Serve the APIs from this machine, and be one of a fleet.",
        "gateway": "Serve the fleet's models from a machine without an engine.",
        "service": "Have systemd run a peer or a gateway.",
    },
    "Look on": {
        "tui": "Watch the fleet on a screen that keeps up with it.",
        "status": "Show the peers, what they hold, and how busy they are.",
        "ps": "Show the requests under way.",
        "logs": "Show what peers have logged, and what they log.",
        "doctor": "Look for what is wrong, and say what mends it.",
    },
    "Models": {
        "models": "List the models that can be asked; show one, remove one.",
        "pull": "Fetch a model from Hugging Face.",
        "plan": "Show what loading a model would do.",
        "load": "Load a model, and wait until it is there.",
        "unload": "Unload a model, once it has answered.",
        "pin": "Keep a model where it is.",
        "unpin": "Let a model go again where others need its place.",
        "cancel": "End a request, or a job such as a load.",
        "drain": "Have a peer take nothing new.",
        "undrain": "Have a draining peer take requests again.",
    },
    "Fleet": {
        "join": "Join a fleet by its key.",
        "leave": "Leave the fleet.",
        "key": "Show or change the key that makes peers one fleet.",
    },
    "Settings and checks": {
        "config": "Show and check the settings, and make keys for the API.",
        "completion": "Print the completion script for a shell.",
        "bench": "Measure how fast an endpoint answers.",
        "verify": "Compare the engine's numbers with a golden folder's.",
    },
}
# Another name for a command, which needs no line in the help.
ALIASES: Mapping[str, str] = {"serve": "gateway"}
_FILES: Mapping[str, str] = {"pin": "unload", "unpin": "unload", "cancel": "ps", "undrain": "drain"}


class _Commands(Mapping[str, Any]):
    """Typer's commands by name, each made when it is first looked up."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}
        self._names = [*(name for names in SECTIONS.values() for name in names), *ALIASES]

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = _make(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _make(name: str) -> Any:
    meant = ALIASES.get(name, name)
    module = import_module(f".commands.{_FILES.get(meant, meant)}", __package__)
    found: Any = getattr(module, meant)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(meant)(spread(found))
        found = alone
    command: Any = typer.main.get_command(found)
    command.name, command.hidden = name, name in ALIASES
    share(command, meant)
    return command


class CommandTable(TyperGroup):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = cast(Any, _Commands())
        name_variables(self)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(len(name) for names in SECTIONS.values() for name in names)
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), text) for name, text in names.items()])

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Names alone import nothing; options are typer's business."""
        from typer._click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=text)
            for names in SECTIONS.values()
            for name, text in names.items()
            if name.startswith(incomplete)
        ]
