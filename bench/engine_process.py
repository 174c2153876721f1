"""An engine process with a bench in its peer's place: what it is told, and what it says."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from cortex.engine.frames import pack_message, pack_value, read_message
from cortex.engine.memory import REMEMBERED_PREFIXES
from cortex.engine.messages import (
    Alive,
    Generate,
    GenerateFailed,
    JobFailed,
    Message,
    Step,
    Wanted,
)
from cortex.engine.types import Prompt

from .machine import read_kib

_TIMEOUT_S = 600.0
# What an engine may use in all, a quarter of it for remembering.
_BUDGET_BYTES = 16 << 30

M = TypeVar("M", bound=Message)


class Engine:
    """An engine process, spoken to as its peer does."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pid: int
    ) -> None:
        self._reader, self._writer, self._pid = reader, writer, pid
        self.alive: Alive | None = None

    @property
    def private_bytes(self) -> int:
        return read_kib(Path(f"/proc/{self._pid}/status"), "RssAnon")

    def say(self, message: Message) -> None:
        self._writer.write(pack_message(message))

    async def hear(self) -> Message:
        message = await asyncio.wait_for(read_message(self._reader), _TIMEOUT_S)
        if message is None:
            raise SystemExit("the engine has gone")
        if isinstance(message, JobFailed | GenerateFailed):
            raise SystemExit(f"the engine failed: {message}")
        if isinstance(message, Alive):
            self.alive = message
        return message

    async def ask(self, question: Message, kind: type[M]) -> M:
        self.say(question)
        while not isinstance(message := await self.hear(), kind):
            pass
        return message

    async def answer(self, prompt: Prompt) -> None:
        self.say(Generate("m", (Wanted("r", 1),), msgspec.Raw(pack_value(prompt))))
        while True:
            message = await self.hear()
            if isinstance(message, Step) and any(part.finish for part in message.parts):
                return

    async def remembered_bytes(self) -> int:
        """As the next heartbeats tell."""
        for _ in range(2):
            while not isinstance(await self.hear(), Alive):
                pass
        assert self.alive is not None
        used = {part.name: part.num_bytes for part in self.alive.models[0].used}
        return used[REMEMBERED_PREFIXES]


@asynccontextmanager
async def engine_process() -> AsyncGenerator[Engine]:
    ours, theirs = socket.socketpair()
    command = ["-m", "cortex.engine.worker", "--device", "cpu", "--fd", str(theirs.fileno())]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, "--memory-bytes", str(_BUDGET_BYTES),
        pass_fds=[theirs.fileno()], stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    theirs.close()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    try:
        yield Engine(reader, writer, process.pid)
    finally:
        writer.close()
        await process.wait()
