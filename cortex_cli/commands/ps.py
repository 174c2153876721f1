"""`cortex ps` and `cortex cancel`: the requests under way, and how to end one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..durations import parse_duration
from ..options import Json, Peer, invocation_of, on_option

if TYPE_CHECKING:
    from ..diagnostics import Diagnostics
    from ..output import Output


def ps(
    context: typer.Context,
    fleet: Annotated[bool, typer.Option("--fleet", help="Those of all peers.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing what changes.")] = False,
    refresh: Annotated[
        float,
        typer.Option(
            "--refresh",
            metavar="TIME",
            parser=parse_duration(0.5, 3600),
            help="With --watch: so often. Otherwise 1s.",
            show_default=False,
        ),
    ] = 1.0,
    as_json: Json = False,
    peer: Peer = None,
) -> None:
    """Show the requests under way: those of one peer, or of the whole fleet.

    \b
      cortex ps
      cortex ps --fleet --watch
      cortex ps --json | jq '.requests[].id'

    Of the fleet each is listed at the peer that it came to, with the one that answers it.
    """
    import time
    from functools import partial

    from ..diagnostics import standard_error
    from ..ordering import orders_of
    from ..output import standard_output
    from ..watching import told_again

    invocation = invocation_of(context)
    output = standard_output()
    diagnostics = standard_error(invocation)
    redraws = watch and not as_json and invocation.can_redraw and output.is_terminal

    def ask() -> dict[str, Any]:
        path = "/requests?fleet=1" if fleet else "/requests"
        return orders_of(invocation, peer).call("GET", path)

    for told in told_again(ask, diagnostics.line, partial(time.sleep, refresh)):
        if redraws:
            output.clear()
        _show(output, diagnostics, told, as_json=as_json)
        if not watch:
            return


def cancel(
    context: typer.Context,
    wanted: Annotated[
        str, typer.Argument(metavar="ID", help="A request of `cortex ps`, or a job.")
    ],
    on: Annotated[
        str | None, on_option("At the peer of that name. Otherwise wherever it is.")
    ] = None,
    as_json: Json = False,
    peer: Peer = None,
) -> None:
    """End a request, or a job such as a load.

    \b
      cortex cancel req_7f3a…
      cortex cancel job_34ef…
    """
    from urllib.parse import quote

    from ..ordering import orders_of
    from ..output import standard_output

    whose = "" if on is None else f"?peer={quote(on, safe='')}"
    kind = "jobs" if wanted.startswith("job_") else "requests"
    path = f"/{kind}/{quote(wanted, safe='')}{whose}"
    told = orders_of(invocation_of(context), peer).call("DELETE", path)
    words = f"{told['id']} on {told['peer']}: {told.get('state', 'cancelled')}"
    standard_output().either(told, [words], as_json=as_json)


def _show(output: Output, to: Diagnostics, told: dict[str, Any], *, as_json: bool) -> None:
    from cortex.peer.onlooker.request_pictures import read_requests
    from cortex.peer.onlooker.understanding import understood

    from ..request_table import request_table

    if as_json:
        output.json(told)
        return
    picture = understood(read_requests, told)
    for missing in picture.missing:
        to.line(f"{missing.peer} does not say: {missing.message}")
    if not picture.requests:
        to.line("nothing is under way")
        return
    for line in request_table(picture.requests, width=output.width):
        output.line(line)
