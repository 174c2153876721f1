"""The `expect` header: a client that waits to be asked for its body is asked for it.

aiohttp refuses any other expectation in plain text, before a handler or a middleware has seen the
request. Servers may overlook it instead (RFC 9110, section 10.1.1), and here it is.
"""

from __future__ import annotations

from aiohttp import HttpVersion11, web


async def meet(request: web.Request) -> None:
    expected = request.headers.get("expect", "").strip().lower()
    if expected == "100-continue" and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # Not yet a part of the reply, which may still be an error.
        request.writer.output_size = 0
