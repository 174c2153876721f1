"""`cortex status`: the fleet in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageProblem
from ..options import Json, Peer, PeerWord, Refresh, asked_peer, invocation_of

if TYPE_CHECKING:
    from cortex.peer.onlooker.asking import Sight
    from cortex.peer.onlooker.pictures import FleetPicture

    from ..output import Output


def status(
    context: typer.Context,
    whose: PeerWord = None,
    peer: Peer = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="Show addresses, versions and roles as well.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing what changes.")] = False,
    refresh: Refresh = 1.0,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Exit 1 where a peer is draining, silent, or has been dead for less than a day.",
        ),
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="Sentences, and no table; watched, each change.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the peers of the fleet, what they hold, and how busy they are.

    \b
      cortex status
      cortex status --watch --plain
      cortex status --json | jq -r '.peers[] | select(.state != "up") | .name'


    A * stands behind the peer that was asked. UTIL is how much of the time its GPUs
    compute, the mean of them, where their driver tells. TOK/S is how fast one answer
    comes, the mean of those under way. --plain is for ears, and for logs.
    """
    import time

    from ..doors import ask_first, doors_to_ask
    from ..fleet_sentences import sentences
    from ..last_seen import keep, seen_in
    from ..output import standard_output
    from ..watching import watch_fleet

    if watch and check:
        raise UsageProblem("--watch and --check exclude each other.")
    if plain and as_json:
        raise UsageProblem("--plain and --json exclude each other.")
    asked = asked_peer(context, whose, peer)
    invocation = invocation_of(context)
    output = standard_output()

    before: FleetPicture | None = None

    def show(sight: Sight) -> None:
        nonlocal before
        now_s = time.time()
        keep(invocation.locations.cache_dir, seen_in(sight, now_s), now_s)
        if plain:
            for line in sentences(before, sight):
                output.line(line)
        else:
            _show(output, sight, as_json=as_json, is_wide=wide)
        before = sight.picture

    if watch:
        watch_fleet(invocation, asked, output, show, refresh, can_redraw=not (as_json or plain))
    sight = ask_first(doors_to_ask(invocation, asked))
    with output.outlived():
        show(sight)
    if check and any(one.state not in _WELL for one in sight.picture.peers):
        raise typer.Exit(1)


# One that has left said so itself: nobody misses it.
_WELL = ("up", "loading", "left")


def _show(output: Output, sight: Sight, *, as_json: bool, is_wide: bool) -> None:
    from ..fleet_table import fleet_table

    table = fleet_table(sight.picture, width=output.width, is_wide=is_wide)
    output.either(sight.told, table, as_json=as_json)
