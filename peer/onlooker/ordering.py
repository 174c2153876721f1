"""Orders given to a peer over HTTP by a program that must start quickly, and what it says to them.

What a peer refuses comes back as the error that it was there.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import quote

from cortex.engine.errors import CortexError

from ..client.told_errors import error_of
from ..errors import NoPeer, nobody_here
from .answers import answer_of
from .asking import MAX_LINE_BYTES, Asking, Door, events_of, object_of
from .job_pictures import OVER

# A peer answers orders at once, and waits for others so long at the utmost.
_SILENCE_S = 15.0


class Ordering:
    """The first of the doors that answers is asked, now and later."""

    def __init__(self, doors: Sequence[Door], asking: Asking | None = None) -> None:
        self._doors = tuple(doors)
        self._asking = asking or Asking(_SILENCE_S)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Raises what the peer refuses with, or NoPeer."""
        error = nobody_here()
        for door in self._doors:
            try:
                answer = self._call(door, method, path, body)
            except NoPeer as problem:
                error = problem
                continue
            self._doors = (door,)
            return answer
        raise error

    def job(self, job_id: str) -> Generator[dict[str, Any]]:
        """A job at each change and every second, the last time when it is over.

        Raises what the peer refuses with, or NoPeer where it is gone before that.
        """
        with closing(self.stream(f"/jobs/{quote(job_id, safe='')}/events")) as events:
            for _, told in events:
                yield told
                if told["state"] in OVER:
                    return

    def stream(self, path: str) -> Generator[tuple[str, dict[str, Any]]]:
        """Events by their names.

        Raises what the peer refuses with or an error event says, or NoPeer where it is gone.
        """
        error: CortexError = nobody_here()
        has_begun = False
        for door in self._doors:
            try:
                for event in self._events(door, path):
                    has_begun, self._doors = True, (door,)
                    yield event
            except NoPeer as problem:
                error = problem
            if has_begun:
                break
        raise error

    def _events(self, door: Door, path: str) -> Generator[tuple[str, dict[str, Any]]]:
        with self._asking.reply(door, "GET", path) as reply:
            if reply.status != 200:
                raise error_of(object_of(reply.read(MAX_LINE_BYTES)), reply.status)
            with closing(events_of(reply)) as events:
                for name, told in events:
                    if name == "error":
                        raise error_of(told, 502)
                    yield name, answer_of(told)
        raise NoPeer(f"the peer at {door.address} has ended", "start it again: cortex peer")

    def _call(
        self, door: Door, method: str, path: str, body: dict[str, Any] | None
    ) -> dict[str, Any]:
        content = None if body is None else json.dumps(body).encode()
        with self._asking.reply(door, method, path, content) as reply:
            told = object_of(reply.read(MAX_LINE_BYTES))
            if reply.status >= 400:
                raise error_of(told, reply.status)
            return answer_of(told)
