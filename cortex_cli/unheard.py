"""A terminal that is deaf for a while: what is typed meanwhile does not show up in what is written.

Its ctrl-c and ctrl-z are heard all the same. A terminal that is another program's now, a pager's or
that of the shell which sent us behind, is left alone; whoever stops or ends us has it as it was.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any, TextIO

try:
    import termios
except ImportError:  # there is none on Windows
    termios = None

_LFLAG = 3


@contextlib.contextmanager
def unheard(keyboard: TextIO | None, *, is_forgotten: bool) -> Generator[None]:
    """While the block lasts. What was typed is for whoever reads next, or nobody."""
    terminal = keyboard.fileno() if keyboard and keyboard.isatty() else None
    if termios is None or terminal is None or not _is_ours(terminal):
        yield
        return
    terminals, before = termios, termios.tcgetattr(terminal)
    deaf = [*before]
    deaf[_LFLAG] &= ~(terminals.ECHO | terminals.ICANON)

    def become(settings: list[Any], *, is_flushed: bool = False) -> None:
        # One that is gone by now takes nothing.
        with contextlib.suppress(terminals.error):
            if _is_ours(terminal):
                if is_flushed:
                    terminals.tcflush(terminal, terminals.TCIFLUSH)
                terminals.tcsetattr(terminal, terminals.TCSANOW, settings)

    def leave(number: int, _: FrameType | None) -> None:
        become(before)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        # That was a stop, and is over.
        signal.signal(number, leave)
        become(deaf)

    with _instead_of_leaving(leave):
        try:
            become(deaf)
            yield
        finally:
            become(before, is_flushed=is_forgotten)


@contextlib.contextmanager
def _instead_of_leaving(leave: Callable[[int, FrameType | None], None]) -> Generator[None]:
    """A signal that is ignored, or somebody else's, stays so."""
    leaving = (signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)
    ours = [number for number in leaving if signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _is_ours(terminal: int) -> bool:
    """To set another's terminal would stop this process."""
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:  # it belongs to no session, or to another one
        return False
