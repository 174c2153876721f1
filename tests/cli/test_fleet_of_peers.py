"""Peers as processes: they meet by address, say so, and change their key while they run."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

Cortex = Callable[..., Any]

DEADLINE_S = 60.0


class Member:
    """A peer that runs, and the lines that it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def says(self, pattern: str) -> re.Match[str]:
        """The next of its lines that holds this."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"it ended, or its time was over, without {pattern!r}")

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(DEADLINE_S) == 0


@contextmanager
def member(state_dir: Path, *arguments: str) -> Generator[Member]:
    """The tests' environment has it listen on a loopback address and use no multicast."""
    command = (sys.executable, "-m", "cortex.cli", "peer", "--engine", "fake", "--port", "0")
    with subprocess.Popen(
        (*command, "--name", state_dir.name, "--state-dir", str(state_dir), *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = threading.Timer(DEADLINE_S, process.kill)
        deadline.start()
        try:
            yield Member(process)
        finally:
            deadline.cancel()
            process.kill()


Start = Callable[..., Member]


@pytest.fixture
def start(tmp_path: Path) -> Generator[Start]:
    """Start a peer by its name, which is that of its folder too."""
    with ExitStack() as running:

        def start_one(name: str, *arguments: str) -> Member:
            return running.enter_context(member(tmp_path / name, *arguments))

        yield start_one


def test_peers_say_who_comes_and_goes_and_follow_a_change_of_their_key(
    start: Start, cortex: Cortex, tmp_path: Path
) -> None:
    def key_of(name: str, *arguments: str) -> str:
        done = cortex("key", *arguments, "--state-dir", str(tmp_path / name))
        assert done.code == 0, done.stderr
        return done.stdout

    atlas = start("atlas")
    reach = atlas.says(r"known  to the fleet as atlas, reached at (\S+)$")[1]
    joining = key_of("atlas").split()
    assert cortex(*joining[1:], "--state-dir", str(tmp_path / "borea")).code == 0
    borea = start("borea", "--join", reach)
    atlas.says(r"^\d\d:\d\d:\d\d borea joined \(.+, 127\.0\.0\.1:\d+\)$")
    borea.says(r"^\d\d:\d\d:\d\d atlas joined \(")
    borea.end()
    atlas.says(r" borea left$")

    # The others change the key while atlas runs, and borea comes back with the new one alone.
    new_id, new_key = re.findall(r"^made   (\w+)|add (\S+)$", key_of("atlas", "new"), re.M)
    old_id = key_of("borea", "list").split()[2]
    key_of("borea", "add", new_key[1])
    for name in ("atlas", "borea"):
        key_of(name, "use", new_id[0])
        key_of(name, "drop", old_id)
    start("borea", "--join", reach)
    atlas.says(r" borea joined \(")


def test_a_peer_of_another_fleet_does_not_get_in(
    start: Start, cortex: Cortex, tmp_path: Path
) -> None:
    atlas = start("atlas")
    reach = atlas.says(r"reached at (\S+)$")[1]
    stranger = start("stranger", "--join", reach)
    stranger.says(r"^ready in")
    joining = cortex("key", "--state-dir", str(tmp_path / "atlas")).stdout.split()
    assert cortex(*joining[1:], "--state-dir", str(tmp_path / "borea")).code == 0
    start("borea", "--join", reach)
    assert atlas.says(r" (\w+) joined \(")[1] == "borea"
