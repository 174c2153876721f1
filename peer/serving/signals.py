"""The signals that a peer heeds: those that end it, and the one that has it look at its settings.

That one is SIGHUP, which also says that the terminal has gone. Whoever started the peer so that it
outlives its terminal (nohup) had it ignored.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager


def has_terminal() -> bool:
    """Whether a terminal controls this process."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


class Heeded:
    """`first` is the signal that begins the end, and `again` is set by those of a person who cannot
    wait for it. `reload` is set when the settings are to be looked at.
    """

    def __init__(self, has_terminal: Callable[[], bool], *, outlives_terminal: bool) -> None:
        self.first: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()
        self.again = asyncio.Event()
        self.reload = asyncio.Event()
        self._has_terminal = has_terminal
        self._outlives_terminal = outlives_terminal or not has_terminal()

    def end(self, number: signal.Signals) -> None:
        if self.first.done():
            self.again.set()
        else:
            self.first.set_result(number)

    def hang_up(self) -> None:
        if self._outlives_terminal or self._has_terminal():
            self.reload.set()
        elif not self.first.done():  # an end that has begun is not made a hasty one by that
            self.first.set_result(signal.SIGHUP)


@contextmanager
def heeded(has_terminal: Callable[[], bool] = has_terminal) -> Generator[Heeded]:
    """Signals as they come while the block lasts."""
    loop, before = asyncio.get_running_loop(), signal.getsignal(signal.SIGHUP)
    signals = Heeded(has_terminal, outlives_terminal=before is signal.SIG_IGN)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, signals.end, number)
    loop.add_signal_handler(signal.SIGHUP, signals.hang_up)
    try:
        yield signals
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)
        if before is signal.SIG_IGN:
            signal.signal(signal.SIGHUP, before)
