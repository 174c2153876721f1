"""The date that a template prints is that of the people who ask."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import pytest

from cortex.engine.stream import Event
from cortex.engine.types import ChatRequest
from cortex.peer.config import PeerConfig
from cortex.peer.routing.ingress import Ingress
from cortex.peer.serving.server import serving
from cortex.peer.wall_clock import wall_clock_s
from tests.time_zones import in_zone

from .in_memory import http

NINE_HOURS_S = 9 * 3600


@pytest.fixture
def in_tokyo() -> Iterator[None]:
    with in_zone("JST-9"):
        yield


@pytest.mark.usefixtures("in_tokyo")
def test_the_clock_on_the_wall_is_ahead_of_utc_by_the_zone() -> None:
    assert wall_clock_s(1_700_000_000.9) == 1_700_000_000 + NINE_HOURS_S


@pytest.mark.usefixtures("in_tokyo")
@pytest.mark.parametrize(
    ("route", "fields"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
        ("/v1/completions", {"prompt": "a"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1}),
        ("/v1/responses", {"input": "a"}),
    ],
)
async def test_requests_carry_the_time_of_their_ingress_and_replies_tell_that_of_all(
    make_config: Callable[..., PeerConfig],
    monkeypatch: pytest.MonkeyPatch,
    route: str,
    fields: dict[str, Any],
) -> None:
    asked: list[ChatRequest] = []
    chat = Ingress.chat

    def heard(self: Ingress, request: ChatRequest, *more: Any) -> AsyncGenerator[Event]:
        asked.append(request)
        return chat(self, request, *more)

    monkeypatch.setattr(Ingress, "chat", heard)
    began_s = int(time.time())
    async with (
        serving(make_config()) as server,
        http(server) as session,
        session.post(route, json={"model": "fake"} | fields) as response,
    ):
        reply = await response.json()
    ended_s = time.time()
    assert response.status == 200, reply
    assert began_s <= asked[0].now_s - NINE_HOURS_S <= ended_s
    assert began_s <= reply.get("created", reply.get("created_at", began_s)) <= ended_s
