"""One child process: started by exec with one end of a socket pair, buried when it is done."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from .link import FrameLink, open_link

# A killed process that does not end is stuck in a driver's call: nobody can wait for that.
_KILL_S = 10.0


class Process(Protocol):
    """What `asyncio.subprocess.Process` can do, as far as it is used."""

    @property
    def pid(self) -> int: ...

    def kill(self) -> None: ...

    async def wait(self) -> int: ...


@dataclass(frozen=True, slots=True)
class ChildProcess:
    process: Process
    link: FrameLink


# Starts a command as a child.
Spawn = Callable[[Sequence[str]], Awaitable[ChildProcess]]


async def spawn(command: Sequence[str]) -> ChildProcess:
    """Start the command, completed with `--fd N` and with what it may log: what we do, no more."""
    ours, theirs = socket.socketpair()
    with theirs:
        # Our end first: nothing may be awaited between the process's birth and its owner's.
        link = await open_link(ours)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                "--fd",
                str(theirs.fileno()),
                "--log-level",
                logging.getLevelName(logging.getLogger().level),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                # Our standard output is the answer's: what a child prints must not mix with it.
                stdout=asyncio.subprocess.DEVNULL,
                # Out of reach of the terminal's ctrl-c, which is ours: the socket ends a child.
                start_new_session=True,
            )
        except BaseException:
            link.close()
            raise
    return ChildProcess(process, link)


# How the exit of a child is told that somebody else has ended.
BY_SIGNAL = ", signal"
# Not by us, who would say so. Nobody tells whose word it was: it is the system's, most often.
BY_SYSTEM = f"{BY_SIGNAL} SIGKILL, as when memory runs out"


async def bury(child: ChildProcess, farewell_s: float) -> str:
    """Close the socket, wait for the process, kill it if it lingers; returns how it exited."""
    child.link.close()
    if (code := await _wait(child.process, farewell_s)) is None:
        with suppress(ProcessLookupError):  # it went in this very moment
            child.process.kill()
        code = await _wait(child.process, _KILL_S)
        return ", killed" if code is not None else f", killed, and not gone after {_KILL_S:g} s"
    if code == -signal.SIGKILL:
        return BY_SYSTEM
    if code < 0:
        names = {one.value: one.name for one in signal.Signals}  # not of all real-time ones
        return f"{BY_SIGNAL} {names.get(-code, -code)}"
    return f", exit code {code}" if code else ""


async def _wait(process: Process, limit_s: float) -> int | None:
    try:
        async with asyncio.timeout(limit_s):
            return await process.wait()
    except TimeoutError:
        return None
