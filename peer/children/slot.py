"""A child process of a peer, the text process or one device's engine, and those that follow it.

A slot starts its child when somebody needs it, hears it out, and buries it when it ends, falls
silent, sends what is not ours or is condemned; then the slot is empty and the next need starts a
new one, after a rest where they keep dying. What the messages mean is known elsewhere.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cortex.engine.errors import CortexError, EngineFailed
from cortex.engine.frames import Buffer, pack_parts
from cortex.engine.messages import Alive, Ending, Message

from ..release import updated_since
from .backoff import rest_s
from .link import FrameLink
from .process import BY_SIGNAL, BY_SYSTEM, ChildProcess, Spawn, bury

logger = logging.getLogger(__name__)

# Silence is counted in ticks that this loop really ran: a peer that was itself held up (a busy or
# suspended machine) does not blame its children for it.
_TICK_S = 0.5
# A child ends within a second of its socket's closing; after this it is killed.
_FAREWELL_S = 2.0
# Whoever used a child that takes longer to go is told before that it ends.
_TELL_S = 0.5
# What may keep the next one from it where the system killed one.
_LESS_MEMORY = (
    "if memory ran out, as the system's log would tell, use less of it: a smaller --memory, model"
    " or context, fewer other programs"
)
_SEND_AGAIN = "send the request again: a new one is started"
# How the end of a child is told that has said itself why it ends.
_GAVE_UP = "gave up"

_NUM_REMEMBERED_DEATHS = 16

# "stopped" starts again when needed; "resting" will start by itself, after too many deaths;
# "failed" is a child that could not even start.
SlotState = Literal["stopped", "resting", "starting", "up", "failed"]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """`command` is completed with `--fd N`. `name` is what people read: "engine", "text".

    `longest_rest_s` is how long one that keeps dying stays dead at most. `release` is ours where
    the child's code is that of our own package, which may be another one when the child starts.
    """

    name: str
    command: tuple[str, ...]
    start_s: float
    silence_s: float
    longest_rest_s: float
    release: str | None = None


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child ended. `may_return` is False where starting another one is no use: this one ended
    by itself, and none was ever up. One that `is_wanted` was told to end. `remedy` is what may keep
    the next one from being killed, where this one was, and not by us.
    """

    error: EngineFailed
    may_return: bool
    is_wanted: bool = False
    remedy: str = ""


class ChildSlot:
    """A place for one child at a time. All of it happens on one event loop."""

    def __init__(
        self,
        spec: ChildSpec,
        tasks: asyncio.TaskGroup,
        on_message: Callable[[Message], None],
        on_end: Callable[[ChildEnd], None],
        spawn: Spawn,
    ) -> None:
        self.spec = spec
        self.state: SlotState = "stopped"
        self.last_alive: Alive | None = None
        # What any child of it said last: what one finds of its device outlasts it.
        self.last_told: Alive | None = None
        # Whether the last child was ended because nobody wanted anything of it.
        self.is_at_rest = False
        # How often a child that was up has ended unasked, and how the last one ended.
        self.num_restarts = 0
        self.last_end: str | None = None
        self._tasks = tasks
        self._on_message = on_message
        self._on_end = on_end
        self._spawn = spawn
        self._life: asyncio.Task[None] | None = None
        self._started: asyncio.Future[CortexError | None] | None = None
        self._child: ChildProcess | None = None
        self._condemned: asyncio.Future[str] | None = None
        # What is to be done, by the word of the child that ends.
        self._advice = ""
        self._deaths_s: deque[float] = deque(maxlen=_NUM_REMEMBERED_DEATHS)
        self._has_been_up = False
        # Whether the last one ended before it was up.
        self._has_failed = False
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.process.pid

    @property
    def is_failing(self) -> bool:
        """Whether the last child did not start, until one does; or they have ended too often."""
        return self._has_failed or self.state == "resting"

    @property
    def is_burying(self) -> bool:
        """Its child is on its way out, and has its memory still."""
        return self._child is not None and self.state in ("stopped", "failed")

    def wake(self) -> None:
        """Begin to start the child, unless there is one; `ready` waits for it."""
        if self._life is None and not self._is_closed:
            self.state = "starting"
            self.is_at_rest = False
            self._started = asyncio.get_running_loop().create_future()
            self._life = self._tasks.create_task(
                self._live(self._started), name=f"child {self.spec.name}"
            )

    async def ready(self) -> None:
        """Return once the child has said its first word; one start serves all who wait.

        Raises EngineFailed where it could not start. What is posted before anything else is awaited
        reaches the child, or its end is told after it.
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
        for part in pack_parts(message):
            self.post_packed(part)

    def post_packed(self, frame: Buffer) -> None:
        """`post`, for a message that was packed elsewhere, or the next part of one."""
        if self._child is not None and self.state == "up":
            self._child.link.send(frame)

    def condemn(self, why: str) -> None:
        """End this child, which somebody has found to be of no use any more."""
        if self._condemned is not None and not self._condemned.done():
            self._condemned.set_result(why)

    async def renew(self) -> None:
        """End the child as `close` does, and begin to start another one."""
        await self._stop()
        self.wake()

    async def rest(self) -> None:
        """End a child that is up, and of which nobody wants anything now, as `close` does; whoever
        needs one again starts it.
        """
        if self._life is not None and self.state == "up":
            # Before anything is awaited: who needs a child from now on waits for the next one.
            self.state, self.is_at_rest = "stopped", True
            self._life.cancel()
            await asyncio.wait({self._life})

    async def close(self) -> None:
        """End the child for good, and wait until it is gone."""
        self._is_closed = True
        await self._stop()

    async def _stop(self) -> None:
        await asyncio.sleep(0)  # a life that is ended before it has begun tells nobody
        if self._life is not None:
            if self.state not in ("stopped", "failed"):  # else it is being buried already
                self._life.cancel()
            await asyncio.wait({self._life})

    async def _live(self, started: asyncio.Future[CortexError | None]) -> None:
        ending = "was stopped"
        try:
            await self._rest()
            self.state = "starting"
            self._child = await self._spawn(self.spec.command)
            ending = await self._hear_out(self._child.link, started)
        except OSError as error:
            ending = f"could not be started: {error.strerror}"
        except Exception as error:
            # A bug of ours in reading it: the child goes, the peer stays. The error's text may
            # hold client data.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("child misread name=%s\n%s", self.spec.name, where)
            ending = f"was misunderstood ({type(error).__name__})"
        finally:
            await self._end(ending, started)

    async def _rest(self) -> None:
        now_s = asyncio.get_running_loop().time()
        due_s = rest_s(self._deaths_s, now_s, self.spec.longest_rest_s)
        if due_s:
            self.state = "resting"
            logger.warning("child rests name=%s seconds=%g", self.spec.name, due_s)
            await asyncio.sleep(due_s)

    async def _end(self, ending: str, started: asyncio.Future[CortexError | None]) -> None:
        """Bury the child, and tell those who waited for it and those who used it. The next one
        starts when it is gone.
        """
        was_up = self.state == "up" or self.is_at_rest
        is_wanted = ending == "was stopped"
        self.state = "stopped" if was_up or is_wanted else "failed"
        self.num_restarts += was_up and not is_wanted
        self._has_failed = not was_up and not is_wanted
        update = "" if is_wanted else self._update()
        exit_words, is_told = "", False
        if self._child is not None:
            is_polite = is_wanted or ending == "ended" or ending.startswith(_GAVE_UP)
            burial = asyncio.create_task(bury(self._child, _FAREWELL_S if is_polite else 0))
            if was_up and not is_wanted:
                await asyncio.wait({burial}, timeout=_TELL_S)
                if is_told := not burial.done():
                    self.last_end = ending + update
                    error = _death(self.spec, self.last_end, was_up, self._advice)
                    self._on_end(ChildEnd(error, may_return=not self._is_closed))
            exit_words = await burial
        self._child, self._life, self.last_alive = None, None, None
        ending += exit_words + update
        if not is_wanted:
            self.last_end = ending
            self._deaths_s.append(asyncio.get_running_loop().time())
        is_of_system = exit_words == BY_SYSTEM
        remedy = (self._advice or _LESS_MEMORY) if is_of_system else ""
        advice = self._advice or (f"{_LESS_MEMORY}; else {_SEND_AGAIN}" if is_of_system else "")
        error = _death(self.spec, ending, was_up, advice)
        self._advice = ""
        if not started.done():
            started.set_result(error)
        level = logging.INFO if is_wanted else logging.WARNING
        logger.log(level, "child ended name=%s how=%s", self.spec.name, ending)
        if not is_told:
            is_of_use = self._has_been_up or exit_words.startswith(BY_SIGNAL)
            may_return = is_of_use and not self._is_closed
            self._on_end(ChildEnd(error, may_return, is_wanted, remedy))

    def _update(self) -> str:
        """That another release was installed under this peer, which may be why its children end."""
        of_peer = self.spec.release
        now = "" if of_peer is None else updated_since(of_peer)
        if not now:
            return ""
        self._advice = "restart this peer: cortex was updated underneath"
        return f", where this peer is cortex {of_peer} and the one installed now is {now}"

    async def _hear_out(self, link: FrameLink, started: asyncio.Future[CortexError | None]) -> str:
        """Pass on what the child says until it ends; returns how it ended, in words."""
        silent_ticks, num_heard = 0, 0
        self._condemned = condemned = asyncio.get_running_loop().create_future()
        link.listen(functools.partial(self._hear, started))
        try:
            while True:
                await asyncio.wait(
                    {link.ended, condemned}, timeout=_TICK_S, return_when=asyncio.FIRST_COMPLETED
                )
                if condemned.done():
                    return condemned.result()
                if link.ended.done():
                    return link.ended.result()
                silent_ticks = silent_ticks + 1 if link.num_heard == num_heard else 0
                num_heard = link.num_heard
                patience_s = self.spec.silence_s if started.done() else self.spec.start_s
                if silent_ticks * _TICK_S >= patience_s:
                    return f"said nothing for {patience_s:g} s"
        finally:
            self._condemned = None

    def _hear(self, started: asyncio.Future[CortexError | None], message: Message) -> None:
        if isinstance(message, Alive):
            self.last_alive = self.last_told = message
            if not started.done():
                self.state = "up"
                self._has_been_up, self._has_failed = True, False
                started.set_result(None)
        if isinstance(message, Ending):
            self._advice = message.error.hint
            self.condemn(f"{_GAVE_UP}: {message.error.message}")
        else:
            self._on_message(message)


def _death(spec: ChildSpec, how: str, was_up: bool, advice: str) -> EngineFailed:
    if was_up:
        return EngineFailed(
            f"the {spec.name} process {how}",
            advice or _SEND_AGAIN,
        )
    return EngineFailed(
        f"the {spec.name} process {how}, before it was ready",
        advice
        or "it said why on the peer's standard error; if a package is missing there, `cortex"
        " doctor` on that machine has the line that installs it",
    )
