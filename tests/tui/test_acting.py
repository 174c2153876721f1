"""What the dashboard orders, against a peer made of a socket; and one that may only look."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from cortex.engine.errors import CortexError
from cortex.peer.errors import NoPeer
from cortex.peer.onlooker.asking import Door
from cortex.peer.onlooker.log_lines import LogLine
from cortex.tui.acting import Acting, OnlyLooking, ReadOnly


class Heard(HTTPServer):
    """A peer that notes what it is asked, and refuses models called `no`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.requests: list[tuple[str, str, Any]] = []

    @property
    def doors(self) -> list[Door]:
        return [Door(f"127.0.0.1:{self.server_port}", "secret")]


class _Answering(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        told = json.loads(body) if body else None
        assert isinstance(self.server, Heard)
        self.server.requests.append((self.command, self.path, told))
        is_refused = told is not None and told.get("model") == "no"
        error = {"error": {"code": "model_not_found", "message": "no such model", "hint": "h"}}
        reply = json.dumps(error if is_refused else {"id": "job-1"}).encode()
        if self.path.startswith("/logs"):
            reply = b'event: line\ndata: {"time":7.5,"level":"info","source":"s","text":"up"}\n\n'
        self.send_response(404 if is_refused else 200)
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    do_GET = do_POST = do_DELETE = _answer

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def heard() -> Generator[Heard]:
    with Heard() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def every_order(acting: Acting) -> list[CortexError]:
    refused: list[CortexError] = []
    for order in (
        acting.load("m", "atlas"),
        acting.unload("m", "atlas"),
        acting.pin("m", "atlas", pinned=True),
        acting.pin("m", pinned=False),
        acting.drain("atlas"),
        acting.cancel_job("job/1"),
        acting.cancel_request("7f3a"),
    ):
        try:
            assert await order == {"id": "job-1"}
        except CortexError as error:
            refused.append(error)
    return refused


async def test_orders_reach_the_peer_as_its_api_wants_them(heard: Heard) -> None:
    assert await every_order(Acting(lambda: heard.doors)) == []
    assert heard.requests == [
        ("POST", "/models/load", {"model": "m", "peer": "atlas", "wait": False}),
        ("POST", "/models/unload", {"model": "m", "peer": "atlas", "force": False, "wait": False}),
        ("POST", "/models/pin", {"model": "m", "peer": "atlas"}),
        ("POST", "/models/unpin", {"model": "m", "peer": None}),
        ("POST", "/drain", {"peer": "atlas"}),
        ("DELETE", "/jobs/job%2F1", None),
        ("DELETE", "/requests/7f3a", None),
    ]


async def test_one_that_only_looks_sends_no_order_and_still_asks(heard: Heard) -> None:
    acting = ReadOnly(lambda: heard.doors)
    refused = await every_order(acting)
    assert len(refused) == 7 and all(isinstance(error, OnlyLooking) for error in refused)
    assert heard.requests == []
    await acting.plan("m")
    await acting.ask("/requests", fleet=1)
    assert [request[:2] for request in heard.requests] == [
        ("POST", "/models/plan"),
        ("GET", "/requests?fleet=1"),
    ]


async def test_a_refusal_comes_back_as_the_error_that_it_was(heard: Heard) -> None:
    with pytest.raises(CortexError, match="no such model"):
        await Acting(lambda: heard.doors).load("no")


async def test_nobody_to_ask_is_an_error_too() -> None:
    with pytest.raises(NoPeer):
        await Acting(list).ask("/models")


async def test_a_log_comes_line_by_line_until_its_peer_ends(heard: Heard) -> None:
    async with Acting(lambda: heard.doors).follow_log("atlas", 600.0) as lines:
        assert await anext(lines) == LogLine(7.5, "info", "s", "up")
        with pytest.raises(NoPeer):
            await anext(lines)
    assert heard.requests[0][1] == "/logs?since_s=600&level=debug&peer=atlas&follow=1"


async def test_a_log_of_nobody_is_an_error() -> None:
    async with Acting(lambda: ()).follow_log("atlas", 600.0) as lines:
        with pytest.raises(NoPeer):
            await anext(lines)
