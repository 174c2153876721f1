"""`cortex tui`: the fleet on a screen that keeps up with it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cortex.tui.options import DEFAULT_THEME, Theme

from ..errors import UsageProblem
from ..options import Peer, Refresh, invocation_of, model_option


def tui(
    context: typer.Context,
    peer: Peer = None,
    refresh: Refresh = 1.0,
    as_ascii: Annotated[
        bool, typer.Option("--ascii", help="Draw with plain characters, for consoles.")
    ] = False,
    read_only: Annotated[
        bool,
        typer.Option("--read-only", help="Only look on: load, unload, drain and cancel nothing."),
    ] = False,
    theme: Annotated[
        Theme,
        typer.Option(
            "--theme", help="Which colours; those that begin with ansi are the terminal's own."
        ),
    ] = DEFAULT_THEME,
    model: Annotated[
        str | None,
        model_option("Who answers on the chat screen. Otherwise the first model that can."),
    ] = None,
    no_mouse: Annotated[
        bool,
        typer.Option("--no-mouse", help="Leave the mouse to the terminal, for selecting text."),
    ] = False,
) -> None:
    """Watch the fleet: its peers, their memory, their models, how busy they are.

    \b
      cortex tui
      cortex tui --peer beast:13131 --read-only


    It stops no peer, and goes on with another one when the one that it watches is gone.
    """
    invocation = invocation_of(context)
    if not all(stream and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        raise UsageProblem(
            "cortex tui needs a terminal for its input and its output.",
            "for scripts: cortex status --json",
        )
    if not invocation.can_redraw:
        raise UsageProblem(
            "cortex tui draws, and TERM=dumb says that this terminal cannot.",
            "in words alone: cortex status --plain --watch",
        )
    from cortex.peer.onlooker.feed import Feed
    from cortex.tui.acting import Acting, ReadOnly
    from cortex.tui.app import CortexApp
    from cortex.tui.options import Options

    from ..doors import find_doors
    from ..kept_feed import Kept, seen_before

    feed = Feed(lambda: find_doors(invocation, peer), invocation.api_key)
    folders = " and ".join(map(str, invocation.locations.note_dirs))
    sought = peer or f"the notes of peers in {folders}"
    acting = ReadOnly(feed.doors) if read_only else Acting(feed.doors)
    options = Options(
        sought, refresh, as_ascii, theme, not no_mouse, invocation.settings.keys, model
    )
    cache_dir = invocation.locations.cache_dir
    app = CortexApp(Kept(feed, cache_dir), acting, options, before=seen_before(cache_dir, peer))
    app.run(mouse=options.has_mouse)
