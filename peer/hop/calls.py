"""What is asked over a connection, from the asker's side, until its answer has come."""

from __future__ import annotations

import asyncio
from typing import Generic, Protocol, TypeVar

from cortex.engine.errors import CortexError
from cortex.engine.stream import Accepted, Began, Event, Finished, Piece, Stage, Vector

from ..children.mailbox import Mailbox
from ..errors import HostUnread
from ..orders.values import Report
from .messages import Counted, Leased

T = TypeVar("T", Counted, Leased)


class Call(Protocol):
    @property
    def is_over(self) -> bool:
        """Whether nothing more comes for it."""
        ...

    def end(self, error: CortexError) -> None:
        """No answer comes, and why."""
        ...


class AnswerCall:
    """A request whose events come one by one. A slow reader's melt together."""

    def __init__(self, num_unfinished: int) -> None:
        # Choices whose end its reader does not have yet.
        self.num_unfinished = num_unfinished
        self._mailbox = Mailbox()
        self._has_failed = False

    @property
    def is_over(self) -> bool:
        return self._has_failed or self.num_unfinished == 0

    def hear(self, event: Event | Vector) -> None:
        match event:
            case Piece():
                self._mailbox.put_piece(event)
            case Stage():
                self._mailbox.put_stage(event)
            case Accepted():
                self._mailbox.put_accepted(event)
            case Began():
                self._mailbox.put_began(event)
            case Finished() | Vector():
                self._mailbox.end(event)

    def end(self, error: CortexError) -> None:
        self._has_failed = True
        self._mailbox.end(error)

    async def next(self) -> Event | Vector:
        """What happens next. Raises what the request ended with."""
        event = await self._mailbox.get()
        self.num_unfinished -= isinstance(event, Finished | Vector)
        return event


class OrderCall:
    """An order whose reports come one by one. A slow reader gets the newest."""

    def __init__(self) -> None:
        self.is_over = self.has_reports = False
        self._report: Report | None = None
        self._unread: HostUnread | None = None
        self._error: CortexError | None = None
        self._filled = asyncio.Event()

    def hear(self, report: Report | None) -> None:
        if self.is_over:
            return  # the host has not heard yet that this was given up
        self.is_over, self.has_reports = report is None, True
        if report is None:
            self._error = self._unread
        self._report, self._unread = report or self._report, None
        self._filled.set()

    def pass_over(self, unread: HostUnread) -> None:
        """The next report may be read again: only the last says how the order ended."""
        self._unread = unread

    def end(self, error: CortexError) -> None:
        self.is_over, self._error = True, error
        self._filled.set()

    async def next(self) -> Report | None:
        """None at the end. Raises what the order ended with."""
        await self._filled.wait()
        report, self._report = self._report, None
        if report is None and self._error is not None:
            raise self._error
        if not self.is_over:
            self._filled.clear()
        return report


class Question(Generic[T]):
    """A question with one answer, of one kind."""

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._outcome: asyncio.Future[T | CortexError] = asyncio.get_running_loop().create_future()

    @property
    def is_over(self) -> bool:
        return self._outcome.done() and not self._outcome.cancelled()

    def hear(self, told: Counted | Leased) -> None:
        if isinstance(told, self._kind) and not self._outcome.done():
            self._outcome.set_result(told)

    def end(self, error: CortexError) -> None:
        if not self._outcome.done():
            self._outcome.set_result(error)

    async def answer(self) -> T:
        """Raises what it ended with."""
        outcome = await self._outcome
        if isinstance(outcome, CortexError):
            raise outcome
        return outcome
