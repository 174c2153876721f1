"""Processes of the comparison: installing, starting, waiting for, pausing and ending them.

Engines start processes of their own, some in sessions of their own: an engine is paused and ended
with all that is below it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path

from ..machine import tree
from .base import CannotRun

_POLL_S = 0.25
_END_S = 20.0
_LAST_LINES = 3
_LINE_CHARS = 160
_NAMED = re.compile(r"\b\w*(?:Error|Exception): .*|\berror: .*")


def run(command: Sequence[str | Path], log: Path, *, env: Mapping[str, str] | None = None) -> None:
    """Run a step of an installation. Raises CannotRun with the last of what it said."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        try:
            code = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **(env or {})},
            ).returncode
        except OSError as error:
            raise CannotRun(f"{command[0]}: {error.strerror}") from error
    if code != 0:
        raise CannotRun(f"{Path(command[0]).name} ended with {code}: {last_words(log)}")


def make_venv(folder: Path, packages: Sequence[str]) -> Path:
    """A virtual environment with these packages; gives its python. Made once."""
    python = folder / "bin" / "python"
    stamp = folder / ".installed"
    wanted = "\n".join(packages)
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        log = folder.with_name(f"{folder.name}.install.log")
        run([sys.executable, "-m", "venv", folder], log)
        run([python, "-m", "pip", "install", "-q", *packages], log)
        stamp.write_text(wanted, encoding="utf-8")
    return python


def version_of(python: Path, distribution: str) -> str:
    code = f"from importlib.metadata import version; print(version({distribution!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotRun(f"{distribution} is not in {python.parent.parent}")
    return done.stdout.strip()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def started(
    command: Sequence[str | Path], log: Path, *, env: Mapping[str, str], piped: bool = False
) -> Generator[subprocess.Popen[bytes]]:
    """A process, ended with the block and all below it. `piped` gives us its two streams."""
    log.parent.mkdir(parents=True, exist_ok=True)
    pipe = subprocess.PIPE
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdin=pipe if piped else subprocess.DEVNULL,
            stdout=pipe if piped else out,
            stderr=out,
            env={**os.environ, **env},
            # Ctrl-c is for us: what we started is ended by us, in order.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Politely, then not: whatever of the tree still runs afterwards is killed."""
    if process.poll() is None:
        resume(process.pid)
        below = tree(process.pid)[1:]
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
        process.kill()
        # Ids are not given out again so soon that another's process could have got one.
        _signal(below, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def pause(pid: int) -> None:
    """Stop the process and all below it: an engine that is not being measured must not spin."""
    _signal(tree(pid), signal.SIGSTOP)


def resume(pid: int) -> None:
    # From below: a parent that wakes first would find its children silent.
    _signal(reversed(tree(pid)), signal.SIGCONT)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def exit_when_terminated() -> None:
    """Have a polite end of this program end what it has started: blocks are left as by ctrl-c."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def wait_until_it_answers(
    process: subprocess.Popen[bytes], url: str, log: Path, timeout_s: float
) -> None:
    """Return once `url` answers with 200. Raises CannotRun where it never does."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise CannotRun(f"it ended with {process.returncode}: {last_words(log)}")
        if _answers(url):
            return
        time.sleep(_POLL_S)
    raise CannotRun(f"it did not answer within {timeout_s:g} s: {last_words(log)}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except OSError:  # what urllib raises for a refusal is one too
        return False


def last_words(log: Path) -> str:
    """Why a program ended, from its log, on one line: the errors it names, else its last lines."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = list(dict.fromkeys(found[0] for line in lines if (found := _NAMED.search(line))))
    return " / ".join(line[:_LINE_CHARS] for line in (named or lines)[-_LAST_LINES:])
