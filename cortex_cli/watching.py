"""What is shown again and again until ctrl-c, whoever is silent meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from cortex.peer.errors import NoPeer
from cortex.peer.onlooker.asking import Sight
from cortex.peer.onlooker.feed import Feed, Lost

from .config import Invocation
from .diagnostics import standard_error
from .doors import find_doors
from .output import Output

T = TypeVar("T")


def told_again(
    ask: Callable[[], T], say: Callable[[str], None], pause: Callable[[], None]
) -> Iterator[T]:
    """Raises what the first try failed with; later nobody's silence ends it."""
    yield ask()
    lost = ""
    while True:
        pause()
        try:
            told = ask()
        except NoPeer as error:
            if error.message != lost:
                lost = error.message
                say(f"{lost}; asking again.")
            continue
        lost = ""
        yield told


def watch_fleet(
    invocation: Invocation,
    peer: str | None,
    output: Output,
    show: Callable[[Sight], None],
    refresh_s: float,
    *,
    can_redraw: bool,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """In place where a terminal can. Raises what the first try failed with; later nobody's silence
    ends it.
    """
    redraws = can_redraw and invocation.can_redraw and output.is_terminal
    diagnostics = standard_error(invocation)
    shown_s: float | None = None
    lost = ""
    for news in Feed(lambda: find_doors(invocation, peer), invocation.api_key).news():
        if isinstance(news, Lost):
            if shown_s is None:
                raise news.error
            if news.error.message != lost:
                lost = news.error.message
                diagnostics.line(f"{lost}; asking the others.")
            continue
        is_happening = news.sight.happening is not None
        if is_happening and can_redraw:
            continue  # the table shows what came of it
        lost = ""
        if is_happening or shown_s is None or clock() - shown_s >= refresh_s:
            if redraws:
                output.clear()
            elif can_redraw and shown_s is not None:
                output.line()
            shown_s = clock()
            show(news.sight)
