"""Clients that leave, and addresses that nobody may be sent to: what a request must not cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from cortex.engine.fake import FakeConfig
from cortex.engine.messages import Cancel
from cortex.peer.config import PeerConfig
from cortex.peer.serving.server import serving
from tests.peer.in_memory import http, until

MakeConfig = Callable[..., PeerConfig]
DEADLINE_S = 20
# One decode step of the fake engine; everything else here takes milliseconds.
STEP_S = 3.0

BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hello"}]},
    "/v1/completions": {"prompt": "hello", "max_tokens": 100},
    "/v1/responses": {"input": "hello"},
    "/v1/messages": {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 100},
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("stream", [True, False])
async def test_who_leaves_frees_the_slot_and_stops_the_engine_within_one_step(
    make_config: MakeConfig,
    memory_children: Any,
    path: str,
    stream: bool,
):
    children = memory_children(fake=FakeConfig(token_interval_ms=STEP_S * 1000))
    body = {"model": "fake", "stream": stream} | BODIES[path]
    payload = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(payload)}\r\n\r\n"
    async with asyncio.timeout(DEADLINE_S), serving(make_config(), children.spawn) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(head.encode() + payload)
        await until(lambda: len(children.wanted) == 1)
        if stream:
            await reader.readuntil(b"\r\n\r\n")
        writer.close()
        async with asyncio.timeout(STEP_S):
            await until(lambda: server.node.health.live_requests == 0)
            await until(lambda: any(isinstance(heard, Cancel) for heard in children.heard))


URL = "http://127.0.0.1:{port}/secret.png"


def requests_with(url: str) -> list[tuple[str, dict[str, Any]]]:
    """The same address everywhere a picture can stand."""
    chat = {"type": "image_url", "image_url": {"url": url}}
    item = {"type": "input_image", "image_url": url}
    block = {"type": "image", "source": {"type": "url", "url": url}}
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [block]}
    use: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    hello = {"role": "user", "content": "hello"}
    so = {"role": "assistant", "content": "so"}
    output = {"type": "function_call_output", "call_id": "call_1", "output": [item]}
    called = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}

    def messages(*turns: dict[str, Any]) -> dict[str, Any]:
        return {"messages": list(turns), "max_tokens": 1}

    def shown(part: dict[str, Any]) -> dict[str, Any]:
        return {"role": "user", "content": [part]}

    return [
        ("/v1/chat/completions", messages(shown(chat))),
        ("/v1/chat/completions", messages(shown(chat), so, hello)),
        (
            "/v1/chat/completions",
            messages(
                hello,
                {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_1", "content": [chat]},
            ),
        ),
        ("/v1/responses", {"input": [shown(item)]}),
        ("/v1/responses", {"input": [shown(item), so, hello]}),
        ("/v1/responses", {"input": [hello, called, output]}),
        ("/v1/messages", messages(shown(block))),
        ("/v1/messages", messages(shown(block), so, hello)),
        ("/v1/messages", messages(hello, {"role": "assistant", "content": [use]}, shown(result))),
        ("/v1/messages/count_tokens", messages(shown(block))),
    ]


async def test_no_socket_is_opened_for_the_address_of_a_picture(make_config: MakeConfig):
    visits: list[Any] = []

    def note(_: Any, writer: asyncio.StreamWriter) -> None:
        visits.append(writer.get_extra_info("peername"))
        writer.close()

    listener = await asyncio.start_server(note, "127.0.0.1", 0)
    url = URL.format(port=listener.sockets[0].getsockname()[1])
    async with listener, serving(make_config()) as server, http(server) as session:
        for path, body in requests_with(url):
            async with session.post(path, json={"model": "fake"} | body) as response:
                told = await response.json()
            assert response.status == 400, (path, body, told)
            error = told["error"]
            code = error["details"]["error_code"] if "messages" in path else error["code"]
            assert code == "image_url_unsupported", (path, body, told)
    assert visits == []
