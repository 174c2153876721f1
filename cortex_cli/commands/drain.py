"""`cortex drain` and `cortex undrain`: have a peer take nothing new, and take requests again."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import completing
from ..options import Json, Peer, invocation_of

Whose = Annotated[
    str | None,
    typer.Argument(
        metavar="[PEER]",
        autocompletion=completing.peers,
        help="Which one, by its name. Otherwise the one that is asked.",
    ),
]


def drain(
    context: typer.Context,
    whose: Whose = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when the last request has ended.")
    ] = False,
    as_json: Json = False,
    peer: Peer = None,
) -> None:
    """Have a peer take nothing new, so that it can be stopped; what is under way goes on.

    \b
      cortex drain
      cortex drain beast --wait && ssh beast systemctl --user restart cortex

    cortex undrain, or a restart, undoes it.
    """
    from cortex.peer.units import counted

    from ..ordering import orders_of, waited_for
    from ..output import standard_output

    invocation = invocation_of(context)
    orders, output = orders_of(invocation, peer), standard_output()
    told = orders.call("POST", "/drain", {"peer": whose})
    if wait:
        told |= {"job": waited_for(invocation, orders, told["job"]), "live_requests": 0}
    live = counted(told["live_requests"], "request")
    output.either(told, [f"{told['peer']} takes nothing new; {live} under way"], as_json=as_json)


def undrain(
    context: typer.Context,
    whose: Whose = None,
    as_json: Json = False,
    peer: Peer = None,
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
    standard_output().either(told, [f"{told['peer']} takes requests again"], as_json=as_json)
