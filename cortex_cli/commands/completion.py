"""`cortex completion`: the script that teaches a shell to complete our commands."""

from __future__ import annotations

from typing import Annotated

import typer

from ..completion import SHELLS, Shell, script
from ..output import standard_output


def completion(
    shell: Annotated[Shell, typer.Argument(help=f"One of: {', '.join(SHELLS)}.")],
) -> None:
    """Print the completion script for a shell.

    \b
      bash   cortex completion bash > ~/.local/share/bash-completion/completions/cortex
      zsh    cortex completion zsh > a folder in $fpath, as _cortex
      fish   cortex completion fish > ~/.config/fish/completions/cortex.fish
    """
    standard_output().line(script(shell))
