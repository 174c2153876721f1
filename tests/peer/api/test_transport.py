"""Bytes that are no request, or that stop being one half-way."""

from __future__ import annotations

import asyncio
import json
import logging
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from cortex.peer.api.connection import Connection
from cortex.peer.api.lobby import Lobby
from cortex.peer.bounds.limits import ConnectionLimits
from cortex.peer.config import PeerConfig
from cortex.peer.serving.server import Server, serving

MakeConfig = Callable[..., PeerConfig]
DEADLINE_S = 30
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
QUESTION = {"model": "fake", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
BODY = json.dumps(QUESTION).encode()


async def said(server: Server, sent: bytes) -> tuple[int, dict[str, Any], bytes]:
    """The first reply on a connection of its own: status, body, head."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(sent)
        head = await reader.readuntil(b"\r\n\r\n")
        length_bytes = int(head.lower().partition(b"content-length: ")[2].split()[0])
        return int(head.split()[1]), json.loads(await reader.readexactly(length_bytes)), head
    finally:
        writer.close()
        await writer.wait_closed()


def encoded(encoding: str, body: bytes) -> bytes:
    head = f"content-encoding: {encoding}\r\ncontent-length: {len(body)}\r\n\r\n"
    return POST + head.encode() + body


UNREADABLE = {
    "deflate that is none": encoded("deflate", b"SECRET garbage"),
    "gzip cut short": encoded("gzip", b"\x1f\x8bSECRET"),
    "deflate that is one": encoded("deflate", zlib.compress(BODY)),
    "no chunk size": CHUNKED + b"SECRET\r\nhi\r\n0\r\n\r\n",
    "a chunk longer than its size": CHUNKED + b"5\r\nSECRETS\r\n0\r\n\r\n",
    "a length in words": POST + b"content-length: SECRET\r\n\r\n",
    "two lengths": POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a long header": POST + b"SECRET: " + b"a" * 20_000 + b"\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfcSECRET\x00\x20\r\n\r\n",
    "a word": b"SECRET\r\n\r\n",
    "another version": b"GET /v1/models HTTP/9.9 SECRET\r\n\r\n",
    "a long path": b"GET /" + b"SECRET" * 4000 + b" HTTP/1.1\r\n\r\n",
    "a zero byte": b"GET / HTTP/1.1\r\nhost: x\r\nSE\x00CRET: 1\r\n\r\n",
}


@pytest.mark.parametrize("what", UNREADABLE)
async def test_unreadable_bytes_get_a_400_in_the_envelope_and_no_line_that_quotes_them(
    make_config: MakeConfig, caplog: pytest.LogCaptureFixture, what: str
):
    caplog.set_level(logging.DEBUG)
    async with asyncio.timeout(DEADLINE_S), serving(make_config()) as server:
        status, told, head = await said(server, UNREADABLE[what])
        assert (status, told["error"]["code"]) == (400, "invalid_request")
        assert ("is too long" in told["error"]["message"]) == what.startswith("a long ")
        assert b"x-request-id: req_" in head.lower()
        good = POST + f"content-length: {len(BODY)}\r\n\r\n".encode() + BODY
        assert (await said(server, good))[0] == 200
    assert "SECRET" not in json.dumps(told)
    assert "SECRET" not in caplog.text
    assert "Traceback" not in caplog.text


async def test_failure_outside_of_a_request_is_logged_without_its_words(
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.DEBUG)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    connection = Connection(
        web.Server(handle), asyncio.get_running_loop(), ConnectionLimits(), Lobby(1)
    )
    error = web.RequestPayloadError("SECRET")
    connection.log_exception("Unhandled exception", exc_info=error)
    assert "RequestPayloadError" in caplog.text
    assert "SECRET" not in caplog.text
