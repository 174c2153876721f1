"""`cortex undrain`: have a peer take requests again."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import completing
from ..options import Json, Peer, StateDir, Verbose, invocation_of


def undrain(
    context: typer.Context,
    whose: Annotated[
        str | None,
        typer.Argument(
            metavar="[PEER]",
            autocompletion=completing.peers,
            help="Which one, by its name. Otherwise the one that is asked.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    peer: Peer = None,
    state_dir: StateDir = None,
    verbose: Verbose = False,
) -> None:
    """Have a peer that was drained take requests again.

    \b
      cortex undrain
      cortex undrain beast

    One that was told to stop ends all the same.
    """
    from ..ordering import orders_of
    from ..output import standard_output

    told = orders_of(invocation_of(context), peer).call("POST", "/undrain", {"peer": whose})
    output = standard_output()
    if as_json:
        output.json({"schema": 1, **told})
    else:
        output.line(f"{told['peer']} takes requests again")
