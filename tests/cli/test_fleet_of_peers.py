"""Peers as processes: they meet by address, say so, and change their key while they run."""

from __future__ import annotations

import re
import signal
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

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
def member(state_dir: Path, *arguments: str, stderr: BinaryIO | None = None) -> Generator[Member]:
    """The tests' environment has it listen on a loopback address and use no multicast."""
    command = (sys.executable, "-m", "cortex.cli", "peer", "--engine", "fake", "--port", "0")
    with subprocess.Popen(
        (*command, "--name", state_dir.name, "--state-dir", str(state_dir), *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
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

        def start_one(name: str, *arguments: str, stderr: BinaryIO | None = None) -> Member:
            return running.enter_context(member(tmp_path / name, *arguments, stderr=stderr))

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
    atlas.says(r" borea has left the fleet$")

    # The others change the key while atlas runs, and borea comes back with the new one alone.
    new_id, new_key = re.findall(r"^made   (\w+)|add (\S+)$", key_of("atlas", "new"), re.M)
    old_id = key_of("borea", "list").split()[2]
    key_of("borea", "add", new_key[1])
    for name in ("atlas", "borea"):
        key_of(name, "use", new_id[0])
        key_of(name, "drop", old_id)
    start("borea", "--join", reach)
    atlas.says(r" borea joined \(")


def test_a_key_is_neither_used_nor_dropped_before_the_peers_are_ready(
    start: Start, cortex: Cortex, tmp_path: Path
) -> None:
    def run(name: str, *arguments: str) -> Any:
        return cortex(*arguments, "--state-dir", str(tmp_path / name))

    def until_done(name: str, *arguments: str) -> None:
        """The word that all are ready takes a moment to get round."""
        deadline_s = time.monotonic() + DEADLINE_S
        while (done := run(name, *arguments)).code != 0:
            assert time.monotonic() < deadline_s, done.stderr

    atlas = start("atlas")
    reach = atlas.says(r"reached at (\S+)$")[1]
    atlas.says(r"^ready in")
    assert run("borea", *run("atlas", "key").stdout.split()[1:]).code == 0
    start("borea", "--join", reach)
    atlas.says(r" borea joined \(")
    old_id = run("atlas", "key", "list").stdout.split()[2]
    made = run("atlas", "key", "new").stdout
    new_id, new_key = made.split()[1].rstrip(","), re.findall(r"cortex1-\w+", made)[0]
    early = run("atlas", "key", "use", new_id)
    assert early.code == 2
    assert f"borea does not have fleet key {new_id} yet" in early.stderr
    assert run("borea", "key", "add", new_key).code == 0
    until_done("atlas", "key", "use", new_id)
    early = run("atlas", "key", "drop", old_id)
    assert f"borea does not use another fleet key than {old_id} yet" in early.stderr
    assert run("borea", "key", "use", new_id, "--yes").code == 0
    until_done("atlas", "key", "drop", old_id)


def test_one_state_directory_is_for_one_peer(start: Start, tmp_path: Path) -> None:
    atlas = start("atlas")
    atlas.says(r"^ready in")
    node = (tmp_path / "atlas" / "node.json").read_bytes()
    command = (sys.executable, "-m", "cortex.cli", "peer", "--engine", "fake", "--port", "0")
    second = subprocess.run(
        (*command, "--state-dir", str(tmp_path / "atlas")), capture_output=True, timeout=DEADLINE_S
    )
    assert second.returncode == 1
    said = second.stderr.decode()
    assert str(tmp_path / "atlas") in said and f"process {atlas.process.pid}" in said
    assert (tmp_path / "atlas" / "node.json").read_bytes() == node


def test_no_key_stands_where_others_can_read(start: Start, cortex: Cortex, tmp_path: Path) -> None:
    """But on the line of the first start: not in later ones, logs, numbers, or command lines."""
    atlas = start("atlas")
    reach = atlas.says(r"reached at (\S+)$")[1]
    joining = cortex("key", "--state-dir", str(tmp_path / "atlas")).stdout
    secret = joining.split("cortex1-")[1].strip().encode()
    assert (
        cortex("join", "-", "--state-dir", str(tmp_path / "borea"), stdin=joining.encode()).code
        == 0
    )
    with (tmp_path / "log").open("wb") as log:
        borea = start("borea", "--join", reach, "--verbose", stderr=log)
        said = borea.says(r"^api    (http://\S+)/v1")
        api = said[1]
        atlas.says(r" borea joined \(")
        for path in ("/metrics", "/fleet", "/healthz"):
            with urllib.request.urlopen(api + path, timeout=10) as reply:
                assert secret not in reply.read()
    children = Path(f"/proc/{borea.process.pid}/task/{borea.process.pid}/children").read_text()
    for pid in (borea.process.pid, *map(int, children.split())):
        assert secret not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert secret not in (tmp_path / "log").read_bytes()
    for path in (tmp_path / "borea").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


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
