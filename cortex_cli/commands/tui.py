"""`cortex tui`: the fleet on a screen that keeps up with it."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from cortex.tui.options import DEFAULT_THEME, Theme

from ..errors import UsageProblem
from ..options import Peer, Refresh, invocation_of, model_option

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from cortex.peer.onlooker.asking import Sight
    from cortex.tui.watched import Watched


def tui(
    context: typer.Context,
    peer: Peer = None,
    refresh: Refresh = 1.0,
    as_ascii: Annotated[
        bool,
        typer.Option(
            "--ascii", envvar="CORTEX_ASCII", help="Draw with plain characters, for consoles."
        ),
    ] = False,
    read_only: Annotated[
        bool,
        typer.Option(
            "--read-only",
            envvar="CORTEX_READ_ONLY",
            help="Only look on: load, unload, drain and cancel nothing.",
        ),
    ] = False,
    theme: Annotated[
        Theme,
        typer.Option(
            "--theme",
            envvar="CORTEX_THEME",
            help="Which colours; those that begin with ansi are the terminal's own.",
        ),
    ] = DEFAULT_THEME,
    model: Annotated[
        str | None,
        model_option("Who answers on the chat screen. Otherwise the first model that can."),
    ] = None,
    no_mouse: Annotated[
        bool,
        typer.Option(
            "--no-mouse",
            envvar="CORTEX_NO_MOUSE",
            help="Leave the mouse to the terminal, for selecting text.",
        ),
    ] = False,
) -> None:
    """Watch the fleet: its peers, their memory, their models, how busy they are.

    \b
      cortex tui
      cortex tui --peer beast:13131 --read-only


    It stops no peer, and goes on with another one when the one that it watches is gone.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageProblem(
            "cortex tui needs a terminal for its input and its output.",
            "for scripts: cortex status --json",
        )
    from cortex.peer.onlooker.feed import Feed
    from cortex.tui.acting import Acting, ReadOnly
    from cortex.tui.app import CortexApp
    from cortex.tui.options import Options

    from ..doors import find_doors

    invocation = invocation_of(context)
    feed = Feed(lambda: find_doors(invocation, peer), invocation.api_key)
    sought = peer or f"the notes of peers in {invocation.locations.announcements_dir}"
    acting = ReadOnly(feed.doors) if read_only else Acting(feed.doors)
    options = Options(
        sought, refresh, as_ascii, theme, not no_mouse, invocation.settings.keys, model
    )
    cache_dir = invocation.locations.cache_dir
    app = CortexApp(feed, acting, options, before=_seen_before(cache_dir, peer))
    app.run(mouse=options.has_mouse)
    _keep(cache_dir, app.frame.watched)


def _seen_before(cache_dir: Path | None, peer: str | None) -> tuple[Sight, datetime] | None:
    """Nothing of a fleet of which that peer is not known to be."""
    import time
    from datetime import datetime

    from cortex.peer.addresses import normalise_address
    from cortex.peer.onlooker.asking import Sight
    from cortex.peer.onlooker.pictures import read_picture

    from ..last_seen import last_seen

    seen = last_seen(cache_dir, time.time())
    if seen.fleet is None or (peer is not None and normalise_address(peer) not in seen.addresses):
        return None
    told = dict(seen.fleet.told)
    try:
        return Sight(told, read_picture(told)), datetime.fromtimestamp(seen.fleet.seen_s)
    except ValueError:
        return None


def _keep(cache_dir: Path | None, watched: Watched) -> None:
    from ..last_seen import keep, seen_in

    if watched.address and watched.sight is not None and watched.seen is not None:
        now_s = watched.seen.timestamp()
        seen = seen_in(watched.sight, now_s)
        keep(cache_dir, replace(seen, addresses=(*seen.addresses, watched.address)), now_s)
