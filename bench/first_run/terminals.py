"""Terminals that a program types into and reads: windows of one tmux of our own."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

COLUMNS, LINES = 110, 36
POLL_S = 0.05


class PromiseBroken(Exception):
    """What a step should have shown, and the screen that it left."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """One window, with a shell in it."""

    tmux: Tmux
    name: str

    def type(self, line: str) -> float:
        """Type a line and press enter; gives the time of that."""
        self.tmux.run("send-keys", "-t", self._target, "-l", line)
        self.tmux.run("send-keys", "-t", self._target, "Enter")
        return time.monotonic()

    def press(self, *keys: str) -> None:
        self.tmux.run("send-keys", "-t", self._target, *keys)

    def screen(self) -> str:
        """What stands there, lines that were too long as one, and what has scrolled away."""
        return self.tmux.run("capture-pane", "-p", "-J", "-S", "-200", "-t", self._target)

    def visible(self) -> str:
        return self.tmux.run("capture-pane", "-p", "-t", self._target)

    def clear(self) -> None:
        """An empty screen with a prompt, so that a step shows itself alone."""
        self.tmux.run("send-keys", "-t", self._target, "C-l")
        time.sleep(2 * POLL_S)
        self.tmux.run("clear-history", "-t", self._target)

    def wait_for(self, pattern: str, limit_s: float, what: str) -> float:
        """The moment when it stands there. Raises PromiseBroken."""
        return self.wait_until(lambda screen: re.search(pattern, screen) is not None, limit_s, what)

    def wait_until(self, is_so: Callable[[str], bool], limit_s: float, what: str) -> float:
        ends_s = time.monotonic() + limit_s
        while not is_so(screen := self.screen()):
            if time.monotonic() > ends_s:
                raise PromiseBroken(f"within {limit_s:g} s, not seen: {what}\n{screen.rstrip()}")
            time.sleep(POLL_S)
        return time.monotonic()

    @property
    def child_pid(self) -> int:
        """The program that the shell runs."""
        shell = self.tmux.run("display-message", "-p", "-t", self._target, "#{pane_pid}").strip()
        return int(Path(f"/proc/{shell}/task/{shell}/children").read_text().split()[0])

    @property
    def _target(self) -> str:
        return f"first-run:{self.name}"


class Tmux:
    """A server of its own, with nobody's settings; `close` ends all that runs in it."""

    def __init__(self, socket: Path) -> None:
        program = shutil.which("tmux")
        if program is None:
            raise SystemExit("error: the first run is tried in tmux, which is not installed.")
        self._command = [program, "-S", str(socket), "-f", "/dev/null"]
        self._has_session = False

    def open(self, name: str, command: Sequence[str], environ: Mapping[str, str]) -> Terminal:
        told = ["env", "-i", *(f"{key}={value}" for key, value in environ.items()), *command]
        if self._has_session:
            self.run("new-window", "-d", "-t", "first-run", "-n", name, *told)
        else:
            size = ("-x", str(COLUMNS), "-y", str(LINES))
            self.run("new-session", "-d", "-s", "first-run", "-n", name, *size, *told)
            self._has_session = True
        terminal = Terminal(self, name)
        terminal.wait_for(r"\$ ", 10.0, "a prompt")
        return terminal

    def run(self, *words: str) -> str:
        done = subprocess.run([*self._command, *words], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"tmux {words[0]}: {done.stderr.strip()}")
        return done.stdout

    def close(self) -> None:
        if self._has_session:
            self.run("kill-server")
