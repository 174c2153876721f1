"""The dashboard and three peers that are processes: watched by a pilot, and in a real terminal."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cortex.peer.onlooker.asking import Door
from cortex.peer.onlooker.feed import Feed
from cortex.tui.acting import Acting
from cortex.tui.app import CortexApp
from cortex.tui.options import Options

COMMAND = (sys.executable, "-m", "cortex.cli")
DEADLINE_S = 30.0
NAMES = ("atlas", "borea", "cirrus")


@dataclass(slots=True)
class Fleet:
    """`api` is where each peer answers clients."""

    api: dict[str, str] = field(default_factory=dict[str, str])
    processes: dict[str, subprocess.Popen[str]] = field(
        default_factory=dict[str, "subprocess.Popen[str]"]
    )

    def start(self, running: ExitStack, state_dir: Path, *options: str) -> str:
        """Gives where other peers reach it."""
        named = ("--state-dir", str(state_dir), "--name", state_dir.name)
        process = running.enter_context(
            subprocess.Popen(
                (*COMMAND, "peer", "--engine", "fake", "--port", "0", *named, *options),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
        running.callback(process.kill)
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "ready in" in line:
                break
        (self.api[state_dir.name],) = re.findall(r"http://(\S+)/v1", said)
        self.processes[state_dir.name] = process
        (reached,) = re.findall(r"reached at (\S+)", said)
        return reached


@pytest.fixture
def fleet(tmp_path: Path) -> Generator[Fleet]:
    made = Fleet()
    with ExitStack() as running:
        first, *others = NAMES
        reached = made.start(running, tmp_path / first)
        for name in others:
            (tmp_path / name).mkdir(mode=0o700)
            shutil.copy(tmp_path / first / "fleet.key", tmp_path / name)
            made.start(running, tmp_path / name, "--join", reached)
        yield made


async def test_it_sees_them_all_loads_a_model_and_outlives_the_peer_it_watches(
    fleet: Fleet, eyes: Any
) -> None:
    feed = Feed(lambda: [Door(fleet.api["atlas"], None)], None)
    app = CortexApp(feed, Acting(feed.doors), Options("here", refresh_s=0.1))
    async with app.run_test(size=(120, 40)) as pilot:

        async def until(*words: str) -> None:
            await eyes.until(pilot, lambda: all(each in eyes.screen(pilot) for each in words))

        await until("3 peers", "3 devices", *NAMES)
        await pilot.press("2", "l")
        await until("plan: load fake", "This is only a plan")
        await pilot.press("enter")
        await until("1 warm")
        fleet.processes["atlas"].send_signal(signal.SIGKILL)
        await pilot.press("1")
        await until("now reading from", "suspect")


@pytest.fixture
def tmux(tmp_path: Path) -> Generator[Callable[..., str]]:
    """A server of its own, with nobody's settings."""
    program = shutil.which("tmux")
    if program is None:
        pytest.skip("tmux is not installed: no terminal whose screen could be read")

    def run(*words: str) -> str:
        command = (program, "-S", str(tmp_path / "tmux"), "-f", "/dev/null", *words)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    yield run
    run("kill-server")


def test_a_terminal_shows_it_as_it_is_and_is_left_as_it_was(
    fleet: Fleet, tmux: Callable[..., str]
) -> None:
    def until(*words: str, but: str = "traceback") -> str:
        ends_s = time.monotonic() + DEADLINE_S
        while True:
            screen = tmux("capture-pane", "-p")
            if all(word in screen for word in words) and but not in screen.lower():
                return screen
            assert time.monotonic() < ends_s, f"not all of {words} on\n{screen}"
            time.sleep(0.05)

    tmux("new-session", "-d", "-x", "80", "-y", "24", "env", "-u", "TMUX", "PS1=prompt> ", "sh")
    until("prompt>")
    tmux("send-keys", "-l", " ".join((*COMMAND, "tui", "--peer", fleet.api["borea"])))
    tmux("send-keys", "Enter")
    screen = until("3 peers", "q Quit", *NAMES, but="prompt>")
    frame = screen.splitlines()[1]
    assert frame.startswith("╭─ peers ─") and frame.endswith("─╮") and len(frame) == 80
    tmux("send-keys", "5")
    until("Logs", "joined (")
    tmux("send-keys", "q")
    until("prompt>", "cortex.cli tui", but="joined")
