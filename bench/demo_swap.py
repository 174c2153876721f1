"""One machine with memory for one model, and two models asked in turn: `python -m bench.demo_swap`,
from the project's folder.

The second model is cortex-nano with another generation_config: the same files otherwise, and yet
another model, since its answers may differ. Before each question the peer is asked for its plan;
what it then did is read from its own log, and told behind an arrow.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cortex.peer.config import Locations, PeerConfig
from cortex.peer.models.catalogue import embedded_dir

from .live.process import PeerProcess, environment

PICTURE = "examples/receipt.png"
MODELS = ("cortex-nano", "nano-two")
# Room for the smallest size of one of them beside what is remembered of prompts, not of both.
MEMORY = "150MiB"
OPTIONS = ("--gpu", "cpu", "--no-mdns", "--memory", MEMORY)
QUESTION = "What is the total?"
NUM_QUESTIONS = 4
INTRODUCTION = f"""\
Two models, {MODELS[0]} and {MODELS[1]}, and a peer with memory for one of them: each question to
the other one makes it plan, evict, load and answer. What its log says of that follows an arrow.
"""
# Why a model goes, as metrics and logs call it.
_WHY = {"lru": "idle for longest"}
_LEAVES = re.compile(r"model leaves model=(\S+) reason=(\S+) for=(\S+)")
_REQUEST = re.compile(
    r"request id=.* model=(\S+) .*prompt_tokens=(\d+) cached_tokens=(\d+) .*start=(\S+)"
    r" .*first_token_s=(\S+)"
)


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
        self.peer = PeerProcess("ada", folder / "ada", ("--engine", "torch", *options))
        self._num_told = 0

    def type(self, *words: str, shows: Callable[[str], bool] = lambda line: True) -> None:
        print(f"$ cortex {shlex.join(words)}", flush=True)
        command = [sys.executable, "-m", "cortex.cli", *words]
        command += ["--state-dir", str(self.peer.state_dir)]
        env = {**environment(self.peer.folder), "PATH": os.environ["PATH"]}
        done = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{done.stderr}it failed; the peer's log:\n{self.peer.tail()}")
        print("".join(f"{line}\n" for line in done.stdout.splitlines() if shows(line)), end="")

    def tell_news(self) -> int:
        """What the log says since the last time: who went for whom, and what was answered. How
        many went.
        """
        lines = self.peer.log.read_text().splitlines()
        news, self._num_told = lines[self._num_told :], len(lines)
        num_left = 0
        for line in news:
            if found := _LEAVES.search(line):
                num_left += 1
                model, reason, wanted = found.groups()
                print(f"  -> evicted {model}, {_WHY.get(reason, reason)}, for {wanted}")
            elif found := _REQUEST.search(line):
                model, num_tokens, num_cached, start, first_s = found.groups()
                print(
                    f"  -> {model} answered, {start} start, first token after {first_s} s;", end=""
                )
                print(f" {num_cached} of {num_tokens} tokens of the prompt were remembered")
        return num_left


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Path(folder))
        print(INTRODUCTION)
        print(f"$ cortex peer {shlex.join(OPTIONS)}")
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
        print(f"\n{number + 1}. {model} is asked")
        if number:
            session.type("plan", model, shows=_is_news if number > 1 else lambda line: True)
        session.type("chat", "--model", model, "--image", PICTURE, QUESTION)
        time.sleep(0.2)  # the peer's line about it is written after the last word has been sent
        num_evictions += session.tell_news()
    return num_evictions


def _is_news(line: str) -> bool:
    """The sum of a plan is shown once: the models are alike."""
    return line.startswith("'") or " goes " in line


if __name__ == "__main__":
    main()
