"""A client's connection, as far as it is not a request yet: bytes that are no HTTP.

aiohttp answers those in plain text and logs them with a traceback that quotes them. Here they get
the envelope of every other error, and the log a word without the bytes.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Any

from aiohttp import web

from cortex.engine.errors import CortexError, InternalError, InvalidRequest

from .context import identify
from .errors import About, error_response, tell

logger = logging.getLogger(__name__)


class Connection(web.RequestHandler):
    __slots__ = ()

    def __init__(self, manager: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        # Nothing is decompressed: the intake refuses what would have to be. The access log would
        # hold paths, which are the client's; None is aiohttp's word for having none.
        no_log: Any = None
        super().__init__(manager, loop=loop, access_log=no_log, auto_decompress=False)

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
        if status >= 500:
            error = InternalError("something went wrong in this peer", "its log says where")
        request_id = f"req_{secrets.token_hex(12)}"
        response = error_response(tell(error, About()), request_id, for_messages=False)
        identify(response, request_id)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """What went wrong between two requests, mostly in a body that nobody wanted to read."""
        logger.info("connection failed error=%s", type(kw.get("exc_info")).__name__)
