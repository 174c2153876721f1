"""Terminals that are none of ours, and how those that are ours are left when we are."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from typing import Any

import pytest

from cortex.cli.unheard import unheard

SLOWLY = ("--fake-token-interval-ms", "25")
LONG_REPLY = "It begins here. " + "and on " * 400

# Leads the session, as a shell does, of a program that is deaf.
SHELL = """
import os, signal, sys, termios, time
from cortex.cli.unheard import unheard

signal.signal(signal.SIGTTOU, signal.SIG_IGN)

def heard():
    return bool(termios.tcgetattr(0)[3] & termios.ECHO)

child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpgrp())
    with unheard(sys.stdin, is_forgotten=False):
        print("deaf", not heard(), flush=True)
        os.read(0, 1)
        print("again", not heard(), flush=True)
    print("left", heard(), flush=True)
    os._exit(0)
_, status = os.waitpid(child, os.WUNTRACED)
print("stopped", os.WIFSTOPPED(status), heard(), flush=True)
os.kill(child, signal.SIGCONT)
os.waitpid(child, 0)
"""


def test_a_terminal_of_another_session_is_left_alone() -> None:
    screen, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    with os.fdopen(terminal) as keyboard, unheard(keyboard, is_forgotten=True):
        assert termios.tcgetattr(terminal) == before
    os.close(screen)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def test_who_ends_an_answer_has_the_terminal_as_it_was(
    at_terminal: Callable[..., Any], replies: Callable[..., tuple[str, ...]], number: signal.Signals
) -> None:
    terminal = at_terminal("chat", *replies(LONG_REPLY), *SLOWLY, "go on")
    terminal.wait_for("It begins here.")
    assert not terminal.is_as_found()
    terminal.process.send_signal(number)
    assert terminal.wait_for_end() == -number
    assert terminal.is_as_found()


def test_who_stops_it_has_the_terminal_as_it_was_until_it_goes_on() -> None:
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", SHELL],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(terminal)
    shown = b""
    try:
        shown += read_until(b"deaf True", screen)
        os.write(screen, b"\x1a")
        shown += read_until(b"stopped True True\r\n", screen)
        os.write(screen, b"\n")
        shown += read_until(b"left True", screen)
    finally:
        os.close(screen)
        process.kill()
        process.wait()
    told = shown.decode().split("\r\n")
    assert [one for one in told if one.startswith(("stopped", "again", "left"))] == [
        "stopped True True",
        "again True",
        "left True",
    ]


def read_until(word: bytes, screen: int) -> bytes:
    shown = b""
    while word not in shown:
        assert select.select([screen], [], [], 20)[0], shown
        shown += os.read(screen, 1024)
    return shown
