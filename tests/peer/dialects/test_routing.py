"""Which conversation a chat says that it belongs to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortex.peer.dialects.asked import Arrival
from cortex.peer.dialects.chat.parse import parse_chat
from cortex.peer.dialects.routing import header_key

QUESTION = [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("fields", "header", "key"),
    [
        ({"metadata": {"user_id": '{"session_id": "s"}'}, "user": "b"}, "", "s"),
        ({"metadata": {"user_id": "u"}}, "h", "h"),
        ({"metadata": {"user_id": "u"}, "prompt_cache_key": "a"}, "h", "a"),
        ({"metadata": {"a": "b"}, "user": "b"}, "", "b"),
        ({"metadata": 5}, "", ""),
    ],
)
def test_a_conversation_is_known_by_its_first_hint(fields: dict[str, Any], header: str, key: str):
    body = {"model": "m", "messages": QUESTION} | fields
    arrival = Arrival(7, 11, "0f", routing_key=header)
    assert parse_chat(json.dumps(body).encode(), arrival).request.routing_key == key


def test_a_header_that_is_no_utf8_is_a_key_that_peers_can_be_sent() -> None:
    header = b"Zo\xeb".decode("utf-8", "surrogateescape")  # as aiohttp reads it
    assert header_key({"x-session-id": header}) == "Zo\N{REPLACEMENT CHARACTER}"
    assert header_key({"session-id": "Zo\xeb"}) == "Zo\xeb"
