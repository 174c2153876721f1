"""`cortex leave`: let the peer of this machine be of no fleet any more."""

from __future__ import annotations

import typer

from ..fleet_options import KeyFile, key_file_of
from ..options import invocation_of


def leave(
    context: typer.Context,
    key_file: KeyFile = None,
) -> None:
    """Leave the fleet: the next start of the peer makes a fleet of its own.

    \b
      cortex leave
      cortex leave --state-dir B

    The key is kept in a file beside its place, for coming back. The others keep it too: to lock a
    machine out, change the fleet's key (cortex key -h).
    """
    from ..key_file import leave_fleet
    from ..output import standard_output
    from ..running import name_running

    invocation = invocation_of(context)
    path = key_file_of(invocation, key_file)
    ring, put_aside = leave_fleet(path, invocation.locations.state_dir)
    output = standard_output()
    output.line(f"left fleet {ring.primary.key_id.hex()}; its key is in {put_aside}")
    if running := name_running(invocation.locations):
        output.line(running)
