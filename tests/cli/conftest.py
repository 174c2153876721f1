"""The command as its users meet it: a process with a pipe, and a process at a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from cortex.cli import main
from cortex.cli.config import read_environment

COMMAND = (sys.executable, "-m", "cortex.cli")
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    stdout: str
    stderr: str


Cortex = Callable[..., Done]

# Users' shells do not set it: what a full disk refuses is then met at a flush, not at a write.
os.environ.pop("PYTHONUNBUFFERED", None)


@pytest.fixture
def cortex(tmp_path: Path) -> Cortex:
    """Run `cortex ARGUMENTS` with pipes on all sides, in an empty folder."""

    def run(*arguments: str | bytes, stdin: bytes | None = None) -> Done:
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=TIMEOUT_S,
            cwd=tmp_path,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def cortex_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cortex:
    """The same without a process of its own, whose start is most of what a short command takes.
    Nor does it tell how long it waits: a busy machine may take a while.
    """
    monkeypatch.setattr("cortex.cli.progress._LOG_FROM_S", 600.0)

    def run(*arguments: str, stdin: bytes | None = None) -> Done:
        typed = Path(os.devnull) if stdin is None else tmp_path / ".typed"
        if stdin is not None:
            typed.write_bytes(stdin)
        out, err = (TextIOWrapper(BytesIO(), encoding="utf-8") for _ in range(2))
        with monkeypatch.context() as here, typed.open(encoding="utf-8") as words:
            here.chdir(tmp_path)
            for name, stream in (("stdin", words), ("stdout", out), ("stderr", err)):
                here.setattr(sys, name, stream)
            code = main.run(arguments, read_environment(os.environ))
        return Done(code, *(_written(stream) for stream in (out, err)))

    return run


def _written(stream: TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


class Terminal:
    """A command that has a terminal for its input, and for what it says unless that is piped."""

    def __init__(self, arguments: tuple[str, ...], folder: Path, *, piped_stdout: bool) -> None:
        self._screen, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self._before = termios.tcgetattr(terminal)
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=terminal,
            stdout=subprocess.PIPE if piped_stdout else terminal,
            stderr=terminal,
            cwd=folder,
            start_new_session=True,
            # Only a controlling terminal turns the ctrl-c key into a signal.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self._terminal = terminal
        self.shown = ""
        self._num_seen = 0

    def press(self, keys: str) -> None:
        os.write(self._screen, keys.encode(errors="surrogateescape"))

    def wait_for_quiet(self) -> None:
        """Read until nothing more comes: line editing is deaf to ctrl-c while it draws."""
        while select.select([self._screen], [], [], 0.2)[0]:
            self.shown += os.read(self._screen, 65536).decode(errors="replace")

    def wait_for(self, text: str) -> None:
        """Read the screen until `text` is on it, after whatever was waited for before."""
        self._read_until(lambda: text in self.shown[self._num_seen :], f"{text!r} to appear")
        self._num_seen = self.shown.index(text, self._num_seen) + len(text)

    def wait_for_end(self) -> int:
        """The exit code, with everything on the screen read."""
        self._read_until(lambda: self.process.poll() is not None, "the end")
        while select.select([self._screen], [], [], 0)[0]:
            self.shown += os.read(self._screen, 65536).decode(errors="replace")
        return self.process.returncode

    def is_as_found(self) -> bool:
        """Whether echo, line editing and the rest are as they were before the command."""
        return termios.tcgetattr(self._terminal) == self._before

    def unread(self) -> bytes:
        """What was typed and nobody has read."""
        is_any = select.select([self._terminal], [], [], 0)[0]
        return os.read(self._terminal, 65536) if is_any else b""

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        os.close(self._screen)
        os.close(self._terminal)

    def _read_until(self, is_enough: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + TIMEOUT_S
        while not is_enough():
            has_ended = self.process.poll() is not None
            assert not has_ended, f"ended instead of {what}; the screen: {self.shown!r}"
            assert time.monotonic() < deadline_s, f"waited for {what}; the screen: {self.shown!r}"
            if select.select([self._screen], [], [], 0.05)[0]:
                self.shown += os.read(self._screen, 65536).decode(errors="replace")


@pytest.fixture
def replies(tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    """Options that make the fake engine play these replies, one for each turn."""

    def write(*texts: str) -> tuple[str, ...]:
        path = tmp_path / "replies.json"
        path.write_text(json.dumps({"replies": texts}), encoding="utf-8")
        return ("--engine", "fake", "--fake-script", str(path))

    return write


@pytest.fixture
def picture(checkout: Path) -> Path:
    """A square picture that costs 66 tokens."""
    return checkout / "tests" / "golden" / "images" / "square_96.png"


OpenTerminal = Callable[..., Terminal]


@pytest.fixture
def at_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[OpenTerminal]:
    """Start `cortex ARGUMENTS` at a terminal of 100 by 24."""
    monkeypatch.setenv("TERM", "xterm")
    opened: list[Terminal] = []

    def open_terminal(*arguments: str, piped_stdout: bool = False) -> Terminal:
        opened.append(Terminal(arguments, tmp_path, piped_stdout=piped_stdout))
        return opened[-1]

    yield open_terminal
    for terminal in opened:
        terminal.close()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Write a cortex.toml, and say where it is."""

    def write_file(text: str) -> Path:
        path = tmp_path / "cortex.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_file
