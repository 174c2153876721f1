"""What one end of a connection has yet to send, and in which order. Pure.

Everything keeps its order but long requests: those go in slices, and behind whatever else there
is, so that a picture on its way holds up no other request's messages. A second connection for them
would have to be opened, trusted and watched like the first.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from .frames import pack
from .messages import Message, Part, Parts, Slice

# Longer ones are sliced. Only whole messages count as heard: on a link of 20 kB/s, too, one comes
# before the other side takes this one for silent.
SLICE_BYTES = 32 * 1024


@dataclass(slots=True)
class _Outgoing:
    frame: bytes
    request_id: str = ""
    num_gone: int = 0


class Outbox:
    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._front: deque[_Outgoing] = deque()
        self._back: deque[_Outgoing] = deque()

    @property
    def num_waiting(self) -> int:
        """How many messages wait, those behind all others left out."""
        return len(self._front)

    def put_part(self, part: Part) -> None:
        """Parts that come before anything else is put or taken become one message."""
        self._parts.append(part)

    def put(self, message: Message) -> None:
        self._join_parts()
        self._front.append(_Outgoing(pack(message)))

    def put_request(self, frame: bytes, request_id: str) -> None:
        """A packed message that begins a request: a long one lets others pass."""
        lane = self._back if len(frame) > SLICE_BYTES else self._front
        lane.append(_Outgoing(frame, request_id))

    def withdraw(self, request_id: str) -> None:
        """What of a long request has not gone yet is not to go."""
        self._back = deque(o for o in self._back if o.request_id != request_id)

    def take(self) -> bytes | None:
        """What is to be sent next, no longer than a slice with its envelope."""
        self._join_parts()
        lane = self._front or self._back
        if not lane:
            return None
        if len(lane[0].frame) <= SLICE_BYTES:
            return lane.popleft().frame
        return _next_slice(lane)

    def _join_parts(self) -> None:
        if self._parts:
            self._front.append(_Outgoing(pack(Parts(tuple(self._parts)))))
            self._parts.clear()


def _next_slice(lane: deque[_Outgoing]) -> bytes:
    head = lane[0]
    data = head.frame[head.num_gone : head.num_gone + SLICE_BYTES]
    piece = Slice(head.request_id, len(head.frame), head.num_gone, data)
    head.num_gone += len(data)
    if head.num_gone == len(head.frame):
        lane.popleft()
    return pack(piece)
