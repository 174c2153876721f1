"""Engines without a server of their own: a script beside this file holds the model in their Python.

The script says `{"ready": true}`, then answers each line of JSON with one: prompts and a length in,
for every prompt the times of its tokens and the tokens out. Its clock is the system's monotonic
one.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cortex.peer.measure.timeline import Arrival, Timeline

from .base import CannotRun, Prompt
from .process import last_words, started

SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True, slots=True)
class Script:
    """A running script."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def answer(self, prompts: Sequence[Prompt], num_tokens: int) -> list[Timeline]:
        assert self.process.stdin is not None
        asked = {
            "prompts": [{"token_ids": p.token_ids} for p in prompts],
            "num_tokens": num_tokens,
        }
        try:
            self.process.stdin.write(f"{json.dumps(asked)}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            raise CannotRun(f"it ended: {last_words(self.log)}") from None
        return [_read_answer(plain) for plain in self.next_line()["answers"]]

    def next_line(self) -> dict[str, Any]:
        """What the script says next; other words on its standard output are passed over."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(b"{"):
                return cast("dict[str, Any]", json.loads(line))
        raise CannotRun(f"it ended: {last_words(self.log)}")


def _read_answer(plain: Mapping[str, Any]) -> Timeline:
    arrivals = tuple(Arrival(at_s) for at_s in plain["at_s"])
    return Timeline(
        sent_s=plain["sent_s"],
        ended_s=arrivals[-1].at_s,
        arrivals=arrivals,
        token_ids=tuple(plain["token_ids"]),
        text=plain["text"],
        has_token_ids=True,
        prompt_tokens=plain["prompt_tokens"],
        completion_tokens=len(arrivals),
    )


@contextmanager
def scripted(
    python: Path, script: str, arguments: Sequence[str], log: Path, env: Mapping[str, str]
) -> Generator[Script]:
    """The script, once its model is loaded. Raises CannotRun."""
    command = [python, SCRIPTS / script, *arguments]
    with started(command, log, env=env, piped=True) as process:
        running = Script(process, log)
        running.next_line()
        yield running
