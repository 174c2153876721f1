"""What signals mean to a peer: its end, haste, or another look at its settings."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Generator

import pytest

from cortex.peer.serving.signals import Heeded, heeded

DEADLINE_S = 10.0


class Terminal:
    """One that may go."""

    def __init__(self, *, is_there: bool = True) -> None:
        self.is_there = is_there

    def __call__(self) -> bool:
        return self.is_there


@pytest.fixture
def hangup_ignored() -> Generator[None]:
    """As nohup leaves it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


async def test_a_hangup_is_an_end_only_where_the_terminal_has_gone() -> None:
    terminal = Terminal()
    signals = Heeded(terminal, outlives_terminal=False)
    signals.hang_up()
    assert signals.reload.is_set() and not signals.first.done()
    terminal.is_there = False
    signals.hang_up()
    assert signals.first.result() == signal.SIGHUP


async def test_a_process_that_never_had_a_terminal_looks_at_its_settings() -> None:
    signals = Heeded(Terminal(is_there=False), outlives_terminal=False)
    signals.hang_up()
    assert signals.reload.is_set() and not signals.first.done()


async def test_an_end_is_not_hastened_by_the_terminal_that_goes_but_by_a_second_signal() -> None:
    terminal = Terminal()
    signals = Heeded(terminal, outlives_terminal=False)
    signals.end(signal.SIGINT)
    terminal.is_there = False
    signals.hang_up()
    assert signals.first.result() == signal.SIGINT and not signals.again.is_set()
    signals.end(signal.SIGINT)
    assert signals.again.is_set()


@pytest.mark.usefixtures("hangup_ignored")
async def test_a_peer_of_nohup_outlives_its_terminal_and_hears_of_its_settings() -> None:
    terminal = Terminal()
    async with asyncio.timeout(DEADLINE_S):
        with heeded(terminal) as signals:
            terminal.is_there = False
            os.kill(os.getpid(), signal.SIGHUP)
            await signals.reload.wait()
            assert not signals.first.done()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
