"""`cortex completion`: the script that teaches a shell to complete our commands.

It asks `cortex` at each TAB, so it holds no command's name.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import typer
from typer.completion import get_completion_script  # pyright: ignore[reportPrivateImportUsage]

from ..output import standard_output

Shell = Literal["bash", "zsh", "fish"]


def completion(
    shell: Annotated[Shell, typer.Argument(help=f"One of: {', '.join(get_args(Shell))}.")],
) -> None:
    """Print the completion script for a shell.

    \b
      bash   cortex completion bash > ~/.local/share/bash-completion/completions/cortex
      zsh    cortex completion zsh > a folder in $fpath, as _cortex
      fish   cortex completion fish > ~/.config/fish/completions/cortex.fish
    """
    standard_output().line(script(shell))


def script(shell: Shell) -> str:
    made = get_completion_script(prog_name="cortex", complete_var="_CORTEX_COMPLETE", shell=shell)
    return made.rstrip("\n")
