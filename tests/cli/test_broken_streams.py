"""A peer that breaks off in the middle, and one that says late who answers for it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

OpenTerminal = Callable[..., Any]

_LOADING = ': cortex {"stage":"loading","done":1048576,"total":4194304,"unit":"bytes"}\n\n'
_PEER = ': cortex {"peer":"borea"}\n\n'
_ACCEPTED = ': cortex {"accepted":{"prompt_tokens":3,"max_tokens":9,"images":[]}}\n\n'


def chunk(**fields: Any) -> str:
    return f"data: {json.dumps(fields)}\n\n"


_TEXT = chunk(choices=[{"index": 0, "delta": {"content": "Here."}}])
_END = chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
_USAGE = chunk(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 1})
_WHOLE = _ACCEPTED + _PEER + _TEXT + _END + _USAGE + "data: [DONE]\n\n"


class ScriptedPeer(ThreadingHTTPServer):
    """Answers each question with the next of its streams, which end where they end."""

    daemon_threads = True

    def __init__(self, *streams: str) -> None:
        self.streams = list(streams)
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedPeer  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        model = {"id": "m", "capabilities": ["text"], "context_length": 9}
        self._reply("application/json", json.dumps({"data": [model]}))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._reply("text/event-stream", self.server.streams.pop(0))

    def _reply(self, kind: str, body: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def scripted() -> Generator[Callable[..., ScriptedPeer]]:
    opened: list[ScriptedPeer] = []

    def open_peer(*streams: str) -> ScriptedPeer:
        opened.append(ScriptedPeer(*streams))
        threading.Thread(target=opened[-1].serve_forever, daemon=True).start()
        return opened[-1]

    yield open_peer
    for peer in opened:
        peer.shutdown()
        peer.server_close()


def test_what_is_said_of_a_break_stands_on_a_line_of_its_own(
    at_terminal: OpenTerminal, scripted: Callable[..., ScriptedPeer]
) -> None:
    peer = scripted(_LOADING, _WHOLE)
    terminal = at_terminal("chat", "--peer", peer.address, "hello")
    assert terminal.wait_for_end() == 0
    before = terminal.shown.partition(f"{peer.address} is asked again")[0]
    assert "loading   1.0/4.0 MiB" in before
    assert before.endswith("\r\x1b[K")


def test_an_answer_that_breaks_off_is_remembered_as_far_as_it_came(
    at_terminal: OpenTerminal, scripted: Callable[..., ScriptedPeer]
) -> None:
    error = chunk(error={"message": "the engine died", "code": "engine_failed"})
    peer = scripted(_ACCEPTED + _PEER + _TEXT + error, _WHOLE)
    terminal = at_terminal("chat", "--peer", peer.address)
    terminal.wait_for("> ")
    terminal.press("one\n")
    terminal.wait_for("the engine died")
    terminal.wait_for("> ")
    terminal.press("/save said\n")
    terminal.wait_for("1 turn in said")
    terminal.press("/quit\n")
    assert terminal.wait_for_end() == 0


def test_an_answer_is_signed_by_who_made_it(
    at_terminal: OpenTerminal, scripted: Callable[..., ScriptedPeer]
) -> None:
    peer = scripted(_LOADING + _WHOLE)
    terminal = at_terminal("chat", "--peer", peer.address, "hello")
    assert terminal.wait_for_end() == 0
    assert re.search(r"(?m)^borea   ttft .+ 3 in   1 out", terminal.shown)
