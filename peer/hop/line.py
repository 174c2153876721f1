"""The asker's end of the connection to one host: what is asked over it, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext

from cortex.engine.errors import CortexError

from ..errors import HostLeaving, HostLost, HostSilent, HostUnread, from_info
from ..gossip.ids import NodeId
from .calls import AnswerCall, Call, OrderCall, Question
from .link import CLOSED_HERE, SILENT, HopLink, Socket
from .messages import (
    Cancel,
    Counted,
    Failed,
    Goodbye,
    Leased,
    Message,
    Part,
    Parts,
    Reported,
    Slice,
    Unread,
)
from .slices import Assembler

# The log probabilities of a long prompt that is echoed take megabytes.
_MAX_PARTS_BYTES = 128 * 1024 * 1024
_UNUSED = "was not used"


class Line:
    """`on_end` is called as soon as no more may be asked over it, with whether the host is to be
    doubted. It ends by itself where nothing was asked for so many ticks.
    """

    def __init__(
        self,
        host: NodeId,
        socket: Socket,
        on_end: Callable[[bool], None],
        tick_s: float,
        idle_ticks: int,
    ) -> None:
        self.host = host
        self.link = HopLink(socket, self, Assembler(_MAX_PARTS_BYTES, _unbounded), tick_s)
        self._on_end = on_end
        self._idle_ticks = idle_ticks
        self._num_idle_ticks = 0
        self._asked: dict[str, Call] = {}
        self._why_over: str | None = None
        self._has_left = False

    @contextmanager
    def calling(self, request_id: str, call: Call) -> Generator[None]:
        """Ask within the block: what comes for it is heard, and leaving early cancels it.

        Raises HostLost or HostLeaving where the connection has ended already.
        """
        if self._why_over is not None:
            raise self._lost(self._why_over)
        self._asked[request_id] = call
        try:
            yield
        finally:
            del self._asked[request_id]
            if not call.is_over:
                self.link.post(Cancel(request_id))
            self.link.withdraw(request_id)

    def hear(self, message: Message, size_bytes: int) -> None:
        match message:
            case Parts():
                for part in message.parts:
                    self._hear_part(part)
            case Failed():
                call = self._asked.get(message.request_id)
                if call is not None:
                    call.end(from_info(message.error))
            case Counted() | Leased():
                call = self._asked.get(message.request_id)
                if isinstance(call, Question):
                    call.hear(message)
            case Reported():
                call = self._asked.get(message.request_id)
                if isinstance(call, OrderCall):
                    call.hear(message.report)
            case Goodbye():
                self._has_left = True
                self._on_end(False)
                self._end_all("is going away")
            case _:
                pass  # what only askers say

    def refuse(self, piece: Slice, error: CortexError) -> None:
        self.link.close(f"sent what is not taken: {error.message}")

    def tick(self) -> None:
        self._num_idle_ticks = 0 if self._asked else self._num_idle_ticks + 1
        if self._num_idle_ticks >= self._idle_ticks:
            self.link.close(_UNUSED)

    def end(self, why: str) -> None:
        self._end_all(why)
        self._on_end(not self._has_left and why not in (_UNUSED, CLOSED_HERE))

    def _hear_part(self, part: Part) -> None:
        call = self._asked.get(part.request_id)
        if call is None:
            return
        if isinstance(part.event, Unread):
            unread = HostUnread(
                f"peer {self.host.hex()} answers in words that are not known here",
                "it runs a newer cortex: update this one",
            )
            if isinstance(call, OrderCall) and call.has_reports:
                call.pass_over(unread)
                return
            self.link.post(Cancel(part.request_id))
            call.end(unread)
        elif isinstance(call, AnswerCall):
            call.hear(part.event)

    def _end_all(self, why: str) -> None:
        self._why_over = self._why_over or why
        for call in self._asked.values():
            call.end(self._lost(why))

    def _lost(self, why: str) -> HostLost:
        host = self.host.hex()
        if self._has_left:
            return HostLeaving(f"peer {host} is going away", "ask another peer")
        kind = HostSilent if why.startswith(SILENT) else HostLost
        return kind(f"the connection to peer {host} ended: it {why}", "send the request again")


def _unbounded(_: int) -> nullcontext[None]:
    return nullcontext()
