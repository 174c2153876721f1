"""One `cortex peer` as a process: started, asked, stopped, killed, started again.

It has a state directory and a log of its own and sees nothing of its owner's settings. Where it
runs, on this machine or in a namespace, is its `place`.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

READY_S = 60.0
ANSWER_S = 10.0
_HIDDEN_PREFIXES = ("CORTEX_", "HF_", "XDG_", "OPENAI_")
_ADDRESS = re.compile(r"http://(\S+?):(\d+)/v1")


class Place(Protocol):
    """Where a peer runs: what stands before its command, and how to act from there."""

    @property
    def prefix(self) -> Sequence[str]: ...

    def call(self, action: Callable[[], T]) -> T: ...


@dataclass(frozen=True, slots=True)
class Here:
    """This machine."""

    prefix: tuple[str, ...] = ()

    def call(self, action: Callable[[], T]) -> T:
        return action()


class NotReady(Exception):
    """A peer that did not come up, with the end of what it said."""


@dataclass
class PeerProcess:
    """`options` are those of `cortex peer`, or of its `command`, but for the state directory;
    `variables` stand in its environment.
    """

    name: str
    folder: Path
    options: Sequence[str]
    place: Place = field(default_factory=Here)
    command: str = "peer"
    variables: dict[str, str] = field(default_factory=dict[str, str])
    host: str = ""
    port: int = 0
    started_s: float = 0.0
    _process: subprocess.Popen[str] | None = None
    _lines: list[str] = field(default_factory=list[str])
    _is_ready: threading.Event = field(default_factory=threading.Event)

    @property
    def state_dir(self) -> Path:
        return self.folder / "state"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Begin; `wait` waits until it answers."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        # Its own: the reader of the last one may still be at work, until that one's children end.
        self._is_ready, self._lines = threading.Event(), []
        command = [*self.place.prefix, sys.executable, "-m", "cortex.cli", self.command]
        command += ["--name", self.name, "--state-dir", str(self.state_dir), *self.options]
        self.started_s = time.monotonic()
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(self.folder) | self.variables,
            )
        said = (self._process, self._lines, self._is_ready)
        threading.Thread(target=self._read, args=said, daemon=True).start()

    def wait(self, limit_s: float = READY_S) -> None:
        """Raises NotReady."""
        is_ready = self._is_ready.wait(limit_s)
        if not self.is_running:
            code = None if self._process is None else self._process.returncode
            raise NotReady(f"{self.name} ended with code {code}:\n{self.tail()}")
        if not is_ready:
            raise NotReady(f"{self.name} is not ready after {limit_s:g} s:\n{self.tail()}")

    def tail(self) -> str:
        said = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "".join(self._lines[-20:]) + said[-3000:]

    def signal(self, number: int) -> None:
        """To the peer alone. One that has ended needs none."""
        if self.is_running:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """As a power cut does. Its children end by themselves."""
        self.signal(signal.SIGKILL)
        self.end()

    def end(self, limit_s: float = 60.0) -> int:
        """Wait until it has ended, and kill it after the limit."""
        assert self._process is not None
        try:
            return self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def leave(self) -> int:
        """Ask it to end in good order."""
        self.signal(signal.SIGTERM)
        return self.end()

    def get(self, path: str, limit_s: float = ANSWER_S) -> Any:
        """What it answers, as JSON. Raises OSError and http.client's exceptions."""
        return json.loads(self.text(path, limit_s))

    def text(self, path: str, limit_s: float = ANSWER_S) -> str:
        return self.place.call(lambda: self._ask("GET", path, None, limit_s))

    def post(self, path: str, body: Any, limit_s: float = ANSWER_S) -> Any:
        return json.loads(self.place.call(lambda: self._ask("POST", path, body, limit_s)))

    def fleet(self) -> dict[str, Any]:
        return self.get("/fleet")

    def states(self) -> dict[str, str]:
        """How it holds the others, by name."""
        told = self.fleet()
        return {p["name"]: p["state"] for p in told["peers"] if p["node"] != told["self"]}

    def _ask(self, method: str, path: str, body: Any, limit_s: float) -> str:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=limit_s)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"content-type": "application/json"})
            reply = connection.getresponse()
            text = reply.read()
            if reply.status != 200:
                raise OSError(f"{self.name} answers {path} with {reply.status}: {text[:500]!r}")
            return text.decode()
        finally:
            connection.close()

    def _read(
        self, process: subprocess.Popen[str], lines: list[str], is_ready: threading.Event
    ) -> None:
        """Its lines, until it ends."""
        assert process.stdout is not None
        with process.stdout, suppress(ValueError):
            for line in process.stdout:
                lines.append(line)
                if found := _ADDRESS.search(line):
                    self.host, self.port = found[1].strip("[]"), int(found[2])
                if line.startswith("ready in "):
                    is_ready.set()
        is_ready.set()  # whoever waits need not wait for a peer that has ended


def environment(folder: Path) -> dict[str, str]:
    """The machine's, without its owner's settings: what is kept is kept in the folder."""
    own = {name: text for name, text in os.environ.items() if not name.startswith(_HIDDEN_PREFIXES)}
    for name in ("DATA", "STATE", "CONFIG", "RUNTIME"):
        own[f"XDG_{name}_{'DIR' if name == 'RUNTIME' else 'HOME'}"] = str(folder / name.lower())
    # A crash of the interpreter itself says where it was.
    return {**own, "HOME": str(folder), "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
