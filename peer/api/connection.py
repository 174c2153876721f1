"""A client's connection, as far as it is not a request yet: bytes that are no HTTP, or too few.

aiohttp answers the former in plain text and logs them with a traceback that quotes them. Here they
get the envelope of every other error, and the log a word without the bytes. For the latter it waits
an hour: here a request's headers come within seconds, or somebody else has the place. So it is
with a reader that takes nothing of what is written for it, for which aiohttp would wait for ever.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import LineTooLong

from cortex.engine.errors import CortexError, InternalError, InvalidRequest

from ..bounds.limits import ConnectionLimits
from ..hop.link import NodeOf
from .access import certificate_of
from .context import identify, new_request_id
from .errors import About, error_response, tell
from .expectation import overlooked
from .lobby import Lobby

logger = logging.getLogger(__name__)

# What a connection too many is told before anything of it has been read.
_FULL_BODY = (
    b'{"error":{"message":"too many connections; try again in a moment",'
    b'"type":"server_error","param":null,"code":"overloaded"}}'
)
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 2\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n" % len(_FULL_BODY)
)


# How often it is looked whether a connection rests, before it is closed for that.
_FAREWELL_STEPS = 4


class Connection(web.RequestHandler):
    def __init__(
        self,
        manager: web.Server,
        loop: asyncio.AbstractEventLoop,
        limits: ConnectionLimits,
        lobby: Lobby,
    ) -> None:
        self._lobby = lobby
        self._limits = limits
        # Whether an answer that begins now is the last one; and when it goes that has no work.
        self._is_ending = False
        self._resting_due: asyncio.TimerHandle | None = None
        self._headers_due: asyncio.TimerHandle | None = None
        self._reader_due: asyncio.TimerHandle | None = None
        # What waited for the reader when it was last looked at.
        self._unread_bytes = 0
        # Nothing is decompressed: the intake refuses what would have to be. The access log would
        # hold paths, which are the client's; None is aiohttp's word for having none.
        no_log: Any = None
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=limits.idle_s,
            access_log=no_log,
            auto_decompress=False,
        )
        make_request: Any = self._request_factory

        def make_overlooking(message: RawRequestMessage, *rest: Any) -> web.BaseRequest:
            return make_request(overlooked(message), *rest)

        self._request_factory = make_overlooking

    @property
    def has_work(self) -> bool:
        return not self._waits_for_request()

    def leave(self) -> None:
        self.force_close()

    def recheck(self, node_of: NodeOf) -> None:
        """The keys have changed: end where the other side's certificate is no member's now."""
        shown = certificate_of(self.transport)
        if shown and node_of(shown) is None:
            assert self.transport is not None
            self.transport.abort()

    @property
    def is_ending(self) -> bool:
        """An answer that begins now says that it is the last one here."""
        return self._is_ending

    def finish(self) -> None:
        """The client may be sending its next request: it is answered, and told to send no more.

        One that has had no work for a while sends nothing, most likely.
        """
        self._is_ending = True
        self._rest()

    def _rest(self, rested_s: float = 0.0) -> None:
        if rested_s >= self._limits.farewell_s:
            self.force_close()
            return
        step_s = self._limits.farewell_s / _FAREWELL_STEPS
        rested_s = 0.0 if self.has_work else rested_s + step_s
        self._resting_due = self._loop.call_later(step_s, self._rest, rested_s)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._lobby.enter(self):
            self._headers_due = self._loop.call_later(self._limits.header_s, self._lose_patience)
        else:
            cast(asyncio.Transport, transport).write(_full(new_request_id()))
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_waiting()
        self._stop_watching()
        if self._resting_due is not None:
            self._resting_due.cancel()
        self._lobby.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._waits_for_request():
            self._stop_waiting()
        elif self._headers_due is None:  # some of them have come
            self._headers_due = self._loop.call_later(self._limits.header_s, self._lose_patience)

    def pause_writing(self) -> None:
        """The reader is slower than we are."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        self._stop_watching()
        super().resume_writing()

    def _watch_reader(self) -> None:
        assert self.transport is not None
        self._unread_bytes = self.transport.get_write_buffer_size()
        self._reader_due = self._loop.call_later(self._limits.write_s, self._check_reader)

    def _check_reader(self) -> None:
        """However slowly it reads, it may: but something it has to take."""
        assert self.transport is not None
        if self.transport.get_write_buffer_size() < self._unread_bytes:
            self._watch_reader()
        else:
            self.transport.abort()

    def _stop_watching(self) -> None:
        if self._reader_due is not None:
            self._reader_due.cancel()
            self._reader_due = None

    def _waits_for_request(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _lose_patience(self) -> None:
        self._headers_due = None
        if self._waits_for_request():
            self.force_close()

    def _stop_waiting(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The reply to what no handler answers: unreadable bytes, or a client that has gone."""
        if isinstance(exc, ConnectionError):
            raise exc
        if request.writer.output_size > 0:
            raise ConnectionError("a reply has begun: there is no place for another one")
        logger.info("unreadable request error=%s", type(exc).__name__)
        error: CortexError = InvalidRequest(
            "what came is not an HTTP/1.1 request", "speak plain HTTP to this port, not TLS"
        )
        if isinstance(exc, LineTooLong):
            error = InvalidRequest(
                "the address or a header is too long for this peer", "shorten it, or send a body"
            )
        if status >= 500:
            error = InternalError("something went wrong in this peer", "its log says where")
        request_id = new_request_id()
        response = error_response(tell(error, About()), request_id, "chat")
        identify(response, request_id)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """What went wrong between two requests, mostly in a body that nobody wanted to read."""
        logger.info("connection failed error=%s", type(kw.get("exc_info")).__name__)


def _full(request_id: str) -> bytes:
    """The whole reply to a connection too many."""
    named = f"x-request-id: {request_id}\r\nrequest-id: {request_id}\r\n\r\n"
    return _FULL + named.encode() + _FULL_BODY
