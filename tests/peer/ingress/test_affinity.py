"""All turns of a conversation belong to one peer, and every peer knows which."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.types import ChatRequest, ImagePart, Message, RawText, TextPart, Tool
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.routing.affinity import conversation_key, ranked

_MODEL = ModelId(b"weights1")
_NODES = [NodeId(number.to_bytes(8, "big")) for number in range(8)]
_KEYS = st.binary(min_size=8, max_size=8)


def request(*turns: str, system: str = "be brief", **fields: object) -> ChatRequest:
    roles = ("user", "assistant")
    messages = [Message("system", (TextPart(system),))]
    messages += [Message(roles[at % 2], (TextPart(text),)) for at, text in enumerate(turns)]
    return ChatRequest("m", tuple(messages), seed=1, now_s=1, **fields)  # pyright: ignore


def test_later_turns_have_the_key_of_the_first() -> None:
    first = conversation_key(_MODEL, request("hello"))
    assert conversation_key(_MODEL, request("hello", "hi", "and now?")) == first


def test_another_beginning_is_another_conversation() -> None:
    keys = {
        conversation_key(_MODEL, request("hello")),
        conversation_key(_MODEL, request("hullo")),
        conversation_key(_MODEL, request("hello", system="be long")),
        conversation_key(_MODEL, request("hello", tools=(Tool("t"),))),
        conversation_key(ModelId(b"weights2"), request("hello")),
        conversation_key(_MODEL, request("hello", raw=RawText("hello"))),
    }
    assert len(keys) == 6


def test_the_clients_own_word_goes_before_the_beginning() -> None:
    one, other = request("a", routing_key="s"), request("b", routing_key="s")
    assert conversation_key(_MODEL, one) == conversation_key(_MODEL, other)


def test_halves_of_characters_and_pictures_have_keys_too() -> None:
    message = Message("user", (TextPart("\ud800"), ImagePart(b"GIF")))
    assert conversation_key(_MODEL, ChatRequest("m", (message,), 1, 1))


@given(_KEYS, st.randoms())
def test_every_peer_finds_the_same_order(key: bytes, rng: random.Random) -> None:
    speeds = [(node, 6) for node in _NODES]
    shuffled = rng.sample(speeds, len(speeds))
    assert ranked(key, speeds) == ranked(key, shuffled)


@given(_KEYS, st.sampled_from(_NODES))
def test_a_peer_that_goes_moves_nobody_elses_conversations(key: bytes, gone: NodeId) -> None:
    before = ranked(key, [(node, 6) for node in _NODES])
    after = ranked(key, [(node, 6) for node in _NODES if node != gone])
    assert after == [node for node in before if node != gone]


def test_twice_the_speed_is_twice_the_conversations() -> None:
    rng = random.Random(5)
    speeds = [(_NODES[0], 7), (_NODES[1], 6), (_NODES[2], 0)]
    firsts = Counter(ranked(rng.randbytes(8), speeds)[0] for _ in range(4000))
    assert abs(firsts[_NODES[0]] - 2000) < 150
    assert abs(firsts[_NODES[1]] - 1000) < 120
