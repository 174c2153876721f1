"""The files that are made from tables: completions, the reference of commands, and the tables of
the pages about the API, settings and metrics.

`python -m contrib.pages ROOT` writes them below a checkout; with `--check` it compares,
names what is out of date, and exits 1.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.cli import get_docs_for_click

from cortex.cli.commands.completion import Shell, script
from cortex.cli.diagnostics import MEANINGS
from cortex.cli.main import PROGRAM, app
from cortex.peer.api.openapi import openapi
from cortex.peer.api.routes import ROUTES
from cortex.peer.observing.metric_families import FAMILIES
from cortex.peer.release import own_release

from .api_fields import api_reference
from .errors import errors_table
from .settings import settings_tables

# Where each shell looks for a completion script, by its name.
_SCRIPTS: dict[Shell, str] = {"bash": "cortex.bash", "zsh": "_cortex", "fish": "cortex.fish"}

# Help marks lines that must not be wrapped, which is what our examples are.
_EXAMPLES = re.compile(r"^\x08\n((?: .+\n)+)", re.MULTILINE)
# In pages that are written by hand, what is made.
_PAGES = ("docs/api.md", "docs/api-fields.md", "docs/config.md", "docs/metrics.md")
_MADE = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def files(root: Path) -> dict[str, str]:
    """Each generated file's path below the checkout, and what it holds."""
    made = {f"completions/{name}": f"{script(shell)}\n" for shell, name in _SCRIPTS.items()}
    made["docs/commands.md"] = _reference()
    tables = settings_tables(_options()) | {
        "metrics": "".join(_metrics()),
        "errors": errors_table(),
        "routes": api_reference(openapi(ROUTES, own_release())),
    }
    for path in _PAGES:
        page = (root / path).read_text(encoding="utf-8")
        made[path] = _MADE.sub(lambda part: f"{part[1]}\n{tables.pop(part[2])}\n{part[3]}", page)
    assert not tables, f"no page has a place for the tables {', '.join(tables)}"
    return made


def outdated(root: Path) -> list[str]:
    return [path for path, text in files(root).items() if _read(root / path) != text]


def main(arguments: list[str]) -> int:
    """Write or compare; gives the exit code."""
    root = Path(arguments[0])
    if arguments[1:] == ["--check"]:
        old = outdated(root)
        for path in old:
            print(f"{path} is out of date: run `make generated`", file=sys.stderr)
        return 1 if old else 0
    for path, text in files(root).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return 0


def _metrics() -> Iterator[str]:
    yield "| name | kind | labels | meaning |\n| --- | --- | --- | --- |\n"
    for family in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        yield f"| `{family.name}` | {family.kind} | {labels} | {family.words} |\n"


def _options() -> dict[str, dict[str, Any]]:
    """Those of every command, by its name and their own."""
    commands: Any = typer.main.get_command(app)
    return {
        name: {option.name: option for option in command.params}
        for name, command in commands.commands.items()
    }


def _reference() -> str:
    command: Any = typer.main.get_command(app)
    # Another name for a command needs no section of its own.
    command.commands = {name: one for name, one in command.commands.items() if not one.hidden}
    # The width is ours, not the terminal's in which somebody happened to generate.
    context = typer.Context(
        command,
        resilient_parsing=True,
        terminal_width=100,
        help_option_names=["-h", "--help"],
    )
    text = get_docs_for_click(obj=command, ctx=context, name=PROGRAM, title="The commands")
    codes = "\n".join(f"| {code} | {meaning} |" for code, meaning in MEANINGS.items())
    head, begin, rest = _EXAMPLES.sub(r"```\n\1```\n", text).strip().partition("\n## ")
    return f"{head}\n\n## Exit codes\n\n| code | means |\n| ---: | --- |\n{codes}\n{begin}{rest}\n"


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
