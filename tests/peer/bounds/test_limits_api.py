"""Each limit of a request, over HTTP: what is over it is refused and said, what is not is taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from cortex.peer.bounds.limits import Limits
from cortex.peer.config import PeerConfig
from tests.peer.in_memory import serving

MakeConfig = Callable[..., PeerConfig]
DEADLINE_S = 30
HELLO = {"role": "user", "content": "hello"}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


CASES: list[tuple[Limits, dict[str, Any], dict[str, Any], str]] = [
    (Limits(max_messages=2), {"messages": [HELLO] * 2}, {"messages": [HELLO] * 3}, "messages"),
    (
        Limits(max_parts=1),
        {"messages": [{"role": "user", "content": [text("a")]}]},
        {"messages": [{"role": "user", "content": [text("a"), text("b")]}]},
        "messages[0]",
    ),
    (Limits(max_tools=1), {"tools": [tool("a")]}, {"tools": [tool("a"), tool("b")]}, "tools"),
    (Limits(max_choices=2), {"n": 2}, {"n": 3}, "n"),
    (Limits(max_stops=2), {"stop": ["a", "b"]}, {"stop": ["a", "b", "c"]}, "limit of 2"),
    (Limits(max_stop_chars=2), {"stop": ["ab"]}, {"stop": ["abc"]}, "limit of 2"),
]


async def replies_to(config: PeerConfig, *bodies: dict[str, Any]) -> list[tuple[int, str]]:
    """The status of each, and the error's message."""
    replies: list[tuple[int, str]] = []
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(config) as server,
        aiohttp.ClientSession(f"http://{server.address}") as session,
    ):
        for body in bodies:
            whole = {"model": "fake", "messages": [HELLO], "max_tokens": 1} | body
            async with session.post("/v1/chat/completions", json=whole) as response:
                told = await response.json()
                replies.append((response.status, told.get("error", {}).get("message", "")))
    return replies


@pytest.mark.parametrize(("limits", "within", "over", "says"), CASES)
async def test_a_request_over_a_limit_is_refused(
    make_config: MakeConfig, limits: Limits, within: dict[str, Any], over: dict[str, Any], says: str
):
    taken, (status, message) = await replies_to(make_config(limits=limits), within, over)
    assert taken == (200, "")
    assert status == 400
    assert says in message


async def test_more_choices_than_may_ever_be_under_way_are_refused_for_good(
    make_config: MakeConfig,
):
    config = make_config(max_live_requests=2)
    taken, (status, message) = await replies_to(config, {"n": 2}, {"n": 3})
    assert taken == (200, "")
    assert (status, message.partition(":")[0]) == (400, "n")


@pytest.mark.parametrize(
    ("limits", "num_within", "num_over"),
    [(Limits(max_images=1), 1, 2), (Limits(max_image_bytes=50), 0, 1)],
)
async def test_pictures_over_a_limit_are_refused(
    make_config: MakeConfig, png_uri: str, limits: Limits, num_within: int, num_over: int
):
    def body(number: int) -> dict[str, Any]:
        picture = {"type": "image_url", "image_url": {"url": png_uri}}
        return {"messages": [{"role": "user", "content": [text("a"), *([picture] * number)]}]}

    bodies = (body(num_within), body(num_over))
    taken, refused = await replies_to(make_config(limits=limits), *bodies)
    assert taken == (200, "")
    assert refused[0] == 400


async def test_a_body_that_stops_arriving_is_given_up_after_its_time(make_config: MakeConfig):
    async with asyncio.timeout(DEADLINE_S), serving(make_config(body_stall_s=0.1)) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        # The connection stays open a while for the rest of the body.
        await reader.readuntil(b"the body stopped arriving")
        writer.close()
