"""What a conversation asks of a peer is read there as it was meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortex.engine.chat.reasoning_control import ReasoningControls
from cortex.engine.types import ChatRequest, ImagePart, Message, TextPart
from cortex.peer.client.bodies import to_body
from cortex.peer.dialects.asked import Arrival
from cortex.peer.dialects.chat.parse import parse_chat
from cortex.peer.talk.conversation import Conversation, Wishes

NOW_S = 7
ARRIVAL = Arrival(now_s=NOW_S, random_seed=11, id_hex="0f")
PICTURE = ImagePart(b"\x89PNG")


def asked(**wishes: Any) -> ChatRequest:
    """The second question of a conversation, with a picture."""
    conversation = Conversation(Wishes(**wishes))
    first = conversation.ask("Why?", model="m", seed=1, now_s=NOW_S)
    conversation.keep(first, "So.", "Hm.")
    conversation.pictures.append(PICTURE)
    return conversation.ask("And this?", model="m", seed=2, now_s=NOW_S)


def read_by_peer(request: ChatRequest) -> ChatRequest:
    return parse_chat(json.dumps(to_body(request)).encode(), ARRIVAL).request


@pytest.mark.parametrize(
    "wishes",
    [
        {},
        {"system": "Be brief."},
        {"max_tokens": 9, "temperature": 0.0, "seed": 0},
        {"thinks": True},
        {"thinks": False},
    ],
)
def test_a_peer_reads_what_the_conversation_asked(wishes: dict[str, Any]) -> None:
    request = asked(**wishes)
    assert PICTURE in request.messages[-1].content
    assert read_by_peer(request) == request


def test_a_begun_answer_goes_along_with_its_thoughts() -> None:
    begun = Message("assistant", (TextPart("It is"),), reasoning="Hm.")
    question = Message("user", (TextPart("Why?"),))
    request = ChatRequest("m", (question, begun), seed=1, now_s=NOW_S)
    assert read_by_peer(request) == request


@pytest.mark.parametrize(
    ("controls", "on", "off"),
    [
        (
            ReasoningControls("enable_thinking"),
            {"enable_thinking": True},
            {"enable_thinking": False},
        ),
        (ReasoningControls("thinking"), {"thinking": True}, {"thinking": False}),
        (
            ReasoningControls("thinking", ("high", "max")),
            {"thinking": True},
            {"thinking": False},
        ),
        (
            ReasoningControls(None, ("low", "medium", "high")),
            {"reasoning_effort": "medium"},
            {"reasoning_effort": "low"},
        ),
        (
            ReasoningControls(None, ("none", "high")),
            {"reasoning_effort": "high"},
            {"reasoning_effort": "none"},
        ),
    ],
)
def test_thinking_is_turned_on_and_off_whatever_the_template_calls_it(
    controls: ReasoningControls, on: dict[str, Any], off: dict[str, Any]
) -> None:
    assert controls.options(read_by_peer(asked(thinks=True)).reasoning) == on
    assert controls.options(read_by_peer(asked(thinks=False)).reasoning) == off
    assert controls.options(read_by_peer(asked()).reasoning) == {}
