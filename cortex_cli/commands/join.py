"""`cortex join`: let the peer of this machine be one of another one's fleet."""

from __future__ import annotations

from typing import Annotated

import typer

from ..fleet_options import KeyFile, key_file_of
from ..options import StateDir, invocation_of


def join(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="KEY")],
    yes: Annotated[bool, typer.Option("--yes", help="Leave the fleet of before, if any.")] = False,
    key_file: KeyFile = None,
    state_dir: StateDir = None,
) -> None:
    """Join a fleet by its key, which `cortex key` shows on any of its peers.

    \b
      cortex join cortex1-…
      ssh beast cortex key | cortex join -
      cortex join cortex1-… --state-dir B && cortex peer --state-dir B

    What is typed can be read by every user of the machine while the command runs, and stays in the
    shell's history: with - the key is read from standard input. A key of another fleet that stands
    here is replaced with --yes alone, and kept in a file beside it.
    """
    import shlex
    import sys

    from ..key_file import become_member, is_held, key_in
    from ..output import standard_output
    from ..running import name_running

    invocation = invocation_of(context)
    wished = key_in(words, sys.stdin and sys.stdin.buffer)
    path = key_file_of(invocation, key_file)
    state = invocation.locations.state_dir
    # Of such a change a peer that runs learns by itself.
    is_news = not is_held(path, wished)
    put_aside = become_member(path, state, wished, may_leave=yes)
    output = standard_output()
    output.line(f"member of fleet {wished.key_id.hex()}; its key is in {path}")
    if put_aside is not None:
        output.line(f"left the fleet of before; its key is in {put_aside}")
    running = name_running(invocation.locations)
    if running is not None and is_news:
        output.line(running)
    elif running is None and put_aside is None:
        there = "" if state_dir is None else f" --state-dir {shlex.quote(str(state_dir))}"
        output.line(f"start with: cortex peer{there}")
