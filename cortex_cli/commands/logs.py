"""`cortex logs`: what peers have logged of late, and what they log from now on."""

from __future__ import annotations

from typing import Annotated

import typer

from cortex.engine.errors import CortexError
from cortex.peer.onlooker.log_lines import Level

from .. import completing
from ..durations import parse_duration
from ..errors import UsageProblem
from ..options import Json, Peer, invocation_of


def logs(
    context: typer.Context,
    whose: Annotated[
        str | None,
        typer.Argument(
            metavar="[PEER]",
            autocompletion=completing.peers,
            help="Whose log, as `cortex status` names it. Otherwise the asked one's.",
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    since: Annotated[
        float,
        typer.Option(
            "--since",
            metavar="TIME",
            parser=parse_duration(0, 365 * 86_400),
            help="What is no older than that, such as 30s or 2h. Otherwise 10m.",
            show_default=False,
        ),
    ] = 600.0,
    level: Annotated[
        Level, typer.Option("--level", help="Lines of that level, or graver.")
    ] = "info",
    every: Annotated[
        bool, typer.Option("--all", help="The logs of all peers, with the name of each.")
    ] = False,
    as_json: Json = False,
    peer: Peer = None,
) -> None:
    """Show what peers have logged of late: each keeps its last 2,000 lines.

    \b
      cortex logs
      cortex logs borea -f --level warning
      cortex logs --all --since 1h --json | jq -r 'select(.level == "error") | .text'

    With --json each line is an object of its own. Ctrl-c ends -f.
    """
    import time
    from datetime import date
    from functools import partial

    from cortex.peer.units import age

    from .. import diagnostics
    from ..log_reading import LastingSource, LogSource, followed, living_peers, read_all
    from ..log_text import line_json, line_text
    from ..ordering import orders_of
    from ..output import standard_output

    if every and whose is not None:
        raise UsageProblem(f"{whose} and --all exclude each other.")
    invocation, output = invocation_of(context), standard_output()

    names = living_peers(orders_of(invocation, peer)) if every else [whose]
    sources = [LogSource(orders_of(invocation, peer), name, since, level) for name in names]
    to = diagnostics.standard_error(invocation)

    def lost(error: CortexError) -> None:
        to.line(f"{error.message}; the others go on" if follow else error.message)

    def silent(error: CortexError) -> None:
        to.line(f"{error.message}; asking again.")

    pause = partial(time.sleep, 1.0)
    lasting = [LastingSource(source, silent, pause) for source in sources]
    lines = followed(lasting, lost) if follow else read_all(sources, lost)
    line = None
    for line in lines:
        if as_json:
            output.json(line_json(line))
        else:
            output.text(line_text(line, with_peer=every, today=date.today()) + "\n")
    if line is None:
        to.line(f"nothing of that was logged in the last {age(since)}; for longer: --since 24h")
