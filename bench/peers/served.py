"""Engines that are asked over HTTP: completions with token ids, streamed, all at once."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex.peer.measure.endpoint import open_endpoint
from cortex.peer.measure.questions import Question, Way
from cortex.peer.measure.timeline import Timeline

from .base import CannotRun, Prompt
from .process import started, wait_until_it_answers

_WAY = Way("completions", has_extras=True)
_START_S = 180.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `extras` are fields of its own that every request carries."""

    process: subprocess.Popen[bytes]
    url: str
    model: str
    extras: Mapping[str, Any]

    @property
    def pid(self) -> int:
        return self.process.pid

    def answer(self, prompts: Sequence[Prompt], num_tokens: int) -> list[Timeline]:
        return asyncio.run(self._answer(prompts, num_tokens))

    async def _answer(self, prompts: Sequence[Prompt], num_tokens: int) -> list[Timeline]:
        async with open_endpoint(self.url, time.perf_counter) as endpoint:
            bodies = [
                _WAY.body(self.model, Question(prompt.token_ids, num_tokens)) | dict(self.extras)
                for prompt in prompts
            ]
            timelines = await asyncio.gather(*(endpoint.ask(_WAY.path, body) for body in bodies))
        if failed := next((seen.error for seen in timelines if seen.error), ""):
            raise CannotRun(f"a request failed: {failed}")
        return timelines


@contextmanager
def serving(
    command: Sequence[str | Path],
    log: Path,
    *,
    port: int,
    model: str,
    env: Mapping[str, str],
    extras: Mapping[str, Any] | None = None,
    ready_path: str = "/v1/models",
) -> Generator[Server]:
    """The server that `command` starts on `port`, once it answers."""
    with started(command, log, env=env) as process:
        url = f"http://127.0.0.1:{port}"
        wait_until_it_answers(process, f"{url}{ready_path}", log, _START_S)
        yield Server(process, f"{url}/v1", model, extras or {})
