"""Child processes of a peer: the text process and the engine process, from birth to burial.

A slot starts its child when somebody needs it, hears it out, and buries it when it ends, falls
silent or sends what is not ours; then the slot is empty and the next need starts a new one. What
the messages mean is known elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cortex.engine.errors import CortexError, EngineFailed
from cortex.engine.frames import FrameError, pack_message, read_message
from cortex.engine.messages import Alive, Message

logger = logging.getLogger(__name__)

# Silence is counted in ticks that this loop really ran: a peer that was itself held up (a busy or
# suspended machine) does not blame its children for it.
_TICK_S = 0.5
# A child ends within a second of its socket's closing; after this it is killed.
_FAREWELL_S = 2.0

# "stopped" starts again when needed; "failed" is a child that could not even start.
SlotState = Literal["stopped", "starting", "up", "failed"]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """`command` is completed with `--fd N`. `name` is what people read: "engine", "text"."""

    name: str
    command: tuple[str, ...]
    start_s: float
    silence_s: float


@dataclass(slots=True)
class _Socket:
    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class ChildSlot:
    """A place for one child at a time. All of it happens on one event loop."""

    def __init__(
        self,
        spec: ChildSpec,
        tasks: asyncio.TaskGroup,
        on_message: Callable[[Message], None],
        on_end: Callable[[CortexError], None],
    ) -> None:
        self.spec = spec
        self.state: SlotState = "stopped"
        self.last_alive: Alive | None = None
        self._tasks = tasks
        self._on_message = on_message
        self._on_end = on_end
        self._life: asyncio.Task[None] | None = None
        self._started: asyncio.Future[CortexError | None] | None = None
        self._socket: _Socket | None = None
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        return None if self._socket is None else self._socket.process.pid

    def wake(self) -> None:
        """Begin to start the child, unless there is one; `ready` waits for it."""
        if self._life is None and not self._is_closed:
            self.state = "starting"
            self._started = asyncio.get_running_loop().create_future()
            self._life = self._tasks.create_task(
                self._live(self._started), name=f"child {self.spec.name}"
            )

    async def ready(self) -> None:
        """Return once the child has said its first word; one start serves all who wait.

        Raises EngineFailed where it could not start.
        """
        while self._life is not None and self.state in ("failed", "stopped"):
            await asyncio.wait({self._life})  # its burial
        if self._is_closed:
            raise EngineFailed(f"the {self.spec.name} process was stopped: this peer is ending")
        self.wake()
        assert self._started is not None
        # Shielded: one waiter's leaving does not end the start for the others.
        error = await asyncio.shield(self._started)
        if error is not None:
            raise error

    def post(self, message: Message) -> None:
        """Send, without waiting. To a child that has gone it says nothing: its end was told."""
        self.post_packed(pack_message(message))

    def post_packed(self, frame: bytes) -> None:
        """`post`, for a message that was packed elsewhere."""
        if self._socket is not None and self.state == "up":
            self._socket.writer.write(frame)

    async def close(self) -> None:
        """End the child for good, and wait until it is gone."""
        self._is_closed = True
        if self._life is not None:
            self._life.cancel()
            await asyncio.wait({self._life})

    async def _live(self, started: asyncio.Future[CortexError | None]) -> None:
        ending = "was stopped"
        try:
            self._socket = await _spawn(self.spec)
            ending = await self._hear_out(self._socket.reader, started)
        except OSError as error:
            ending = f"could not be started: {error.strerror}"
        except Exception as error:
            # A bug of ours in reading it: the child goes, the peer stays. The error's text may
            # hold client data.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("child misread name=%s\n%s", self.spec.name, where)
            ending = f"was misunderstood ({type(error).__name__})"
        finally:
            was_up = self.state == "up"
            is_polite = ending in ("was stopped", "ended")
            self.state = "stopped" if was_up or ending == "was stopped" else "failed"
            if self._socket is not None:
                ending += await _bury(self._socket, _FAREWELL_S if is_polite else 0)
            self._socket, self._life, self.last_alive = None, None, None
            error = _death(self.spec, ending, was_up)
            if not started.done():
                started.set_result(error)
            self._on_end(error)
            logger.info("child ended name=%s how=%s", self.spec.name, ending)

    async def _hear_out(
        self, reader: asyncio.StreamReader, started: asyncio.Future[CortexError | None]
    ) -> str:
        """Pass on what the child says until it ends; returns how it ended, in words."""
        silent_ticks = 0
        reading = asyncio.create_task(read_message(reader))
        try:
            while True:
                await asyncio.wait({reading}, timeout=_TICK_S)
                if not reading.done():
                    silent_ticks += 1
                    patience_s = self.spec.silence_s if started.done() else self.spec.start_s
                    if silent_ticks * _TICK_S >= patience_s:
                        return f"said nothing for {patience_s:g} s"
                    continue
                message = reading.result()
                if message is None:
                    return "ended"
                silent_ticks = 0
                self._hear(message, started)
                del message  # it may hold a whole prompt, and the next one may be long in coming
                reading = asyncio.create_task(read_message(reader))
        except FrameError as error:
            return f"sent {error.message}"
        finally:
            reading.cancel()
            await asyncio.wait({reading})

    def _hear(self, message: Message, started: asyncio.Future[CortexError | None]) -> None:
        if isinstance(message, Alive):
            self.last_alive = message
            if not started.done():
                self.state = "up"
                started.set_result(None)
            return
        self._on_message(message)


async def _spawn(spec: ChildSpec) -> _Socket:
    """Start the process by exec, with one end of a socket pair."""
    ours, theirs = socket.socketpair()
    with theirs:
        # Our end first: nothing may be awaited between the process's birth and its owner's.
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        try:
            process = await asyncio.create_subprocess_exec(
                *spec.command,
                "--fd",
                str(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                # Our standard output is the answer's: what a child prints must not mix with it.
                stdout=asyncio.subprocess.DEVNULL,
                # Out of reach of the terminal's ctrl-c, which is ours: the socket ends a child.
                start_new_session=True,
            )
        except BaseException:
            writer.close()
            raise
    return _Socket(process, reader, writer)


async def _bury(child: _Socket, farewell_s: float) -> str:
    """Close the socket, wait for the process, kill it if it lingers; returns how it exited."""
    child.writer.close()
    try:
        async with asyncio.timeout(farewell_s):
            code = await child.process.wait()
    except TimeoutError:
        child.process.kill()
        await child.process.wait()
        return ", killed"
    if code < 0:
        return f", signal {signal.Signals(-code).name}"
    return f", exit code {code}" if code else ""


def _death(spec: ChildSpec, how: str, was_up: bool) -> EngineFailed:
    if was_up:
        return EngineFailed(
            f"the {spec.name} process {how}", "send the request again: a new one is started"
        )
    return EngineFailed(
        f"the {spec.name} process {how}, before it was ready",
        "it said why on the peer's standard error; if a package is missing there:"
        " pip install 'cortex-fleet[engine]'",
    )
