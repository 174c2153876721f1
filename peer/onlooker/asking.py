"""A peer asked about its fleet, by a program that must start quickly: plain HTTP, no event loop.

Whoever reads is blocked meanwhile; another thread may close the connection under it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast
from urllib.parse import urlsplit

from ..errors import InvalidApiKey, NoPeer
from .folding import fold
from .happenings import Happening, read_happening
from .pictures import FleetPicture, PictureReader, read_picture

# A stream speaks every second.
SILENCE_S = 4.0
MAX_LINE_BYTES = 16 * 1024 * 1024
# What reading the JSON of some other program can raise.
NOT_A_PEER = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class Door:
    """Where a peer's public API is, and the key that it is asked with."""

    address: str
    key: str | None = field(default=None, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.key is None else {"authorization": f"Bearer {self.key}"}


@dataclass(frozen=True, slots=True)
class Sight:
    """What a peer told: word for word, and read. With a `happening` that alone is new."""

    told: dict[str, Any]
    picture: FleetPicture
    happening: Happening | None = None


class Asking:
    """One question at a time.

    All raise NoPeer, or InvalidApiKey where the peer wants another key.
    """

    def __init__(self, silence_s: float = SILENCE_S) -> None:
        self._silence_s = silence_s
        self._is_closed = False
        self._socket: socket.socket | None = None

    def fleet(self, door: Door) -> Sight:
        with self.reply(door, "GET", "/fleet") as reply:
            _check(reply.status, door)
            told = object_of(reply.read(MAX_LINE_BYTES))
            return Sight(told, read_picture(told))

    def events(self, door: Door) -> Generator[Sight]:
        """What is told at first and after each change, until the peer is gone: then NoPeer."""
        told: dict[str, Any] = {}
        reader = PictureReader()
        with self.reply(door, "GET", "/fleet/events") as reply:
            _check(reply.status, door)
            for name, news in events_of(reply):
                told = fold(told, name, news)
                sight = Sight(told, reader.read(told))
                is_happening = name == "happening"
                yield replace(sight, happening=read_happening(news)) if is_happening else sight
            raise NoPeer(f"the peer at {door.address} has ended", "start it again: cortex peer")

    def close(self) -> None:
        """End the question under way, and all later ones; from any thread."""
        self._is_closed = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def reply(
        self, door: Door, method: str, path: str, body: bytes | None = None
    ) -> Generator[http.client.HTTPResponse]:
        """Whatever is answered, with any status; reading what is no peer's raises NoPeer too."""
        try:
            connection = _connection(door.address, self._silence_s)
            with contextlib.closing(connection):
                connection.connect()
                self._socket = connection.sock
                if self._is_closed:  # it came while the connection was made
                    raise NoPeer("nobody waits for an answer any more")
                connection.request(method, path, body, door.headers)
                with connection.getresponse() as reply:
                    yield reply
        except TimeoutError as error:
            words = f"the peer at {door.address} has been silent for {self._silence_s:g} s"
            raise NoPeer(words, "is its machine well?") from error
        except OSError as error:
            why = error.strerror or type(error).__name__
            hint = "start one there with: cortex peer"
            raise NoPeer(f"no peer answers at {door.address} ({why})", hint) from error
        except (http.client.HTTPException, *NOT_A_PEER) as error:
            words = f"what answers at {door.address} is no cortex peer"
            raise NoPeer(words, "check the address") from error


def _connection(address: str, timeout_s: float) -> http.client.HTTPConnection:
    parts = urlsplit(f"//{address}")
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)


def _check(status: int, door: Door) -> None:
    if status in (401, 403):
        raise InvalidApiKey(
            f"the peer at {door.address} wants an API key that it knows",
            "set CORTEX_API_KEY to a key of that peer",
        )
    if status != 200:
        raise NoPeer(f"what answers at {door.address} shows no fleet (status {status})")


def events_of(reply: http.client.HTTPResponse) -> Generator[tuple[str, dict[str, Any]]]:
    name = ""
    while line := reply.readline(MAX_LINE_BYTES):
        kind, _, value = line.rstrip(b"\r\n").partition(b": ")
        if kind == b"event":
            name = value.decode()
        elif kind == b"data":
            yield name, object_of(value)


def object_of(text: bytes) -> dict[str, Any]:
    value: Any = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("no object")
    return cast(dict[str, Any], value)
