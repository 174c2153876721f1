"""A terminal that is deaf for a while: what is typed meanwhile does not show up in what is written.

Its ctrl-c and ctrl-z are heard all the same. A terminal that is another program's now, a pager's or
that of the shell which sent us behind, is left alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from typing import TextIO

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
    before = termios.tcgetattr(terminal)
    deaf = [*before]
    deaf[_LFLAG] &= ~(termios.ECHO | termios.ICANON)
    try:
        termios.tcsetattr(terminal, termios.TCSANOW, deaf)
        yield
    finally:
        if _is_ours(terminal):
            if is_forgotten:
                termios.tcflush(terminal, termios.TCIFLUSH)
            termios.tcsetattr(terminal, termios.TCSANOW, before)


def _is_ours(terminal: int) -> bool:
    """To set another's terminal would stop this process."""
    return os.tcgetpgrp(terminal) == os.getpgrp()
