"""The completion scripts. They ask `cortex` at each TAB, so they hold no command's name."""

from __future__ import annotations

from typing import Literal, get_args

from typer.completion import get_completion_script  # pyright: ignore[reportPrivateImportUsage]

Shell = Literal["bash", "zsh", "fish"]
SHELLS: tuple[Shell, ...] = get_args(Shell)

# Where each shell looks for a script, by its name.
FILE_NAMES: dict[Shell, str] = {"bash": "cortex.bash", "zsh": "_cortex", "fish": "cortex.fish"}


def script(shell: Shell) -> str:
    return get_completion_script(
        prog_name="cortex", complete_var="_CORTEX_COMPLETE", shell=shell
    ).rstrip("\n")
