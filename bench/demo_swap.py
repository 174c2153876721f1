"""One machine with memory for one model, and two models asked in turn: `python -m bench.demo_swap`,
from the project's folder.

The second model is cortex-nano with another generation_config: the same files otherwise, and yet
another model, since its answers may differ. Before each question the peer is asked for its plan;
what it then did is read from its own log.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cortex.peer.config import Locations, PeerConfig
from cortex.peer.models.catalogue import embedded_dir

from .live.process import PeerProcess, environment

PICTURE = "examples/receipt.png"
MODELS = ("cortex-nano", "nano-two")
# Room for the smallest size of one of them beside what is remembered of prompts, not of both.
MEMORY = "150MiB"
OPTIONS = ("--engine", "torch", "--gpu", "cpu", "--no-mdns", "--memory", MEMORY)
NUM_QUESTIONS = 4
_LEAVES = re.compile(r"model leaves model=(\S+) reason=(\S+) for=(\S+)")
_REQUEST = re.compile(r"request id=.* model=(\S+) .*cached_tokens=(\d+) .*first_token_s=(\S+)")


def second_model(folder: Path) -> None:
    source = embedded_dir(PeerConfig(Locations(folder, folder)))
    shutil.copytree(source, folder / MODELS[1])
    path = folder / MODELS[1] / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "top_k": 1}))


class Session:
    """A peer, the commands that are typed at it, and the lines of its log that are news."""

    def __init__(self, folder: Path) -> None:
        models = folder / "models"
        models.mkdir()
        second_model(models)
        settings = folder / "cortex.toml"
        settings.write_text('[peer]\nlog_level = "info"\n')
        options = (*OPTIONS, "--models", str(models), "--config", str(settings))
        self.peer = PeerProcess("ada", folder / "ada", options)
        self._num_told = 0

    def type(self, *words: str) -> None:
        print(f"\n$ cortex {' '.join(words)}", flush=True)
        command = [sys.executable, "-m", "cortex.cli", *words]
        command += ["--state-dir", str(self.peer.state_dir)]
        env = {**environment(self.peer.folder), "PATH": os.environ["PATH"]}
        if subprocess.run(command, env=env, stdin=subprocess.DEVNULL).returncode:
            raise SystemExit(f"it failed; the peer's log:\n{self.peer.tail()}")

    def tell_news(self) -> list[tuple[str, ...]]:
        """What the log says since the last time: who went for whom, and what was answered."""
        lines = self.peer.log.read_text().splitlines()
        news, self._num_told = lines[self._num_told :], len(lines)
        left: list[tuple[str, ...]] = []
        for line in news:
            if found := _LEAVES.search(line):
                left.append(found.groups())
                print("    evicted {} ({}), for {}".format(*found.groups()))
            elif found := _REQUEST.search(line):
                told = "{} answered; {} tokens of the prompt remembered; first token after {} s"
                print("    " + told.format(*found.groups()), flush=True)
        return left


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Path(folder))
        print(f"$ cortex peer {' '.join(OPTIONS)}")
        try:
            session.peer.start()
            session.peer.wait()
            num_evictions = ask_in_turn(session)
        finally:
            session.peer.kill()
    print(f"\n{NUM_QUESTIONS} questions, {num_evictions} evictions, 0 refused")
    if num_evictions != NUM_QUESTIONS - 1:
        raise SystemExit(f"{NUM_QUESTIONS - 1} evictions were to be expected")


def ask_in_turn(session: Session) -> int:
    num_evictions = 0
    for number in range(NUM_QUESTIONS):
        model = MODELS[number % len(MODELS)]
        if number:
            session.type("plan", model)
        session.type("chat", "--model", model, "--image", PICTURE, "What is the total?")
        time.sleep(0.2)  # the peer's line about it is written after the last word has been sent
        num_evictions += len(session.tell_news())
    return num_evictions


if __name__ == "__main__":
    main()
