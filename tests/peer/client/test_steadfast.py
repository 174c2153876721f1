"""An answer whose peer goes away in the middle of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import pytest

from cortex.engine.errors import Overloaded
from cortex.engine.stream import Accepted, Event, Finished, Piece, ReasoningDelta, TextDelta, Usage
from cortex.engine.types import ChatRequest, Message, TextPart
from cortex.peer.client.steadfast import Steadfast
from cortex.peer.errors import AnswerBrokeOff, NoPeer
from cortex.peer.onlooker.asking import Door
from cortex.peer.types import ModelInfo

ASKED = ChatRequest("m", (Message("user", (TextPart("hi"),)),), seed=1, now_s=2)
BROKE_OFF = AnswerBrokeOff("the peer at a broke off")
SAID = Piece((TextDelta("It "),))
END = Finished("stop", Usage(12, 3))


class FakePeer:
    def __init__(self, name: str, *events: Event | Exception) -> None:
        self.name = self.answered_by = name
        self.asked: list[ChatRequest] = []
        self._events = events

    async def models(self) -> tuple[ModelInfo, ...]:
        for event in self._events:
            if isinstance(event, Exception):
                raise event
        return (ModelInfo("m", None, ("text",), 9, 0),)

    async def picture_tokens(self, model: str, picture: bytes) -> int:
        return 64

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event]:
        self.asked.append(request)
        for event in self._events:
            if isinstance(event, Exception):
                raise event
            yield event


class Fleet:
    """Peers that are all known at once, or as late as the test says."""

    def __init__(self, *peers: FakePeer) -> None:
        self.peers = {peer.name: peer for peer in peers}
        self.known = list(self.peers)
        self.moves: list[str] = []
        self.num_rests = 0
        self.known_after_rest: list[str] = []
        self.backend = Steadfast(
            self._doors, lambda door: self.peers[door.address], self.moves.append, sleep=self._rest
        )

    async def _doors(self) -> Sequence[Door]:
        return [Door(name) for name in self.known]

    async def _rest(self, seconds: float) -> None:
        self.num_rests += 1
        self.known = self.known_after_rest or self.known

    async def answer(self) -> list[Event]:
        return [event async for event in self.backend.chat(ASKED)]


async def test_the_next_peer_continues_what_had_come() -> None:
    first = FakePeer("a", Accepted(10, (), 99), SAID, BROKE_OFF)
    second = FakePeer("b", Accepted(12, (), 97), Piece((TextDelta("is."),)), END)
    fleet = Fleet(first, second)
    events = await fleet.answer()
    assert second.asked[0].messages == (
        *ASKED.messages,
        Message("assistant", (TextPart("It "),)),
    )
    assert [event for event in events if isinstance(event, Piece)] == [
        SAID,
        Piece((TextDelta("is."),)),
    ]
    # The two tokens that the second prompt is longer were made, not asked.
    assert events[-1] == Finished("stop", Usage(10, 5))
    assert fleet.moves == ["a is gone; b goes on"]
    assert fleet.backend.name == "b"


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["It ", " is."], "It is."),
        (["It ", "is."], "It is."),
        (["a\n\n", "\n", "\nb"], "a\n\nb"),
        (["a\n", "\n\nb"], "a\n\nb"),
        (["a:\n", "    b"], "a:\n    b"),
        (["def f():\n    ", "\n   ", " return", "  1"], "def f():\n    return  1"),
    ],
)
@pytest.mark.parametrize("breaks_off_again", [False, True])
async def test_white_space_at_the_seam_is_shown_once(
    pieces: list[str], shown: str, breaks_off_again: bool
) -> None:
    """Who goes on cuts it, and writes it again."""
    first, *rest = [Piece((TextDelta(text),)) for text in pieces]
    # Its first peer may be gone again before it has written anything but the white space.
    written = pieces[0][len(pieces[0].rstrip()) :]
    second = [Piece((TextDelta(written[:2]),)), BROKE_OFF] if breaks_off_again else [*rest, END]
    fleet = Fleet(
        FakePeer("a", first, BROKE_OFF), FakePeer("b", *second), FakePeer("c", *rest, END)
    )
    events = await fleet.answer()
    deltas = [d for event in events if isinstance(event, Piece) for d in event.deltas]
    assert "".join(d.text for d in deltas if isinstance(d, TextDelta)) == shown
    assert TextDelta("") not in deltas
    if breaks_off_again:
        assert fleet.peers["c"].asked == fleet.peers["b"].asked


async def test_thoughts_alone_are_made_anew() -> None:
    first = FakePeer("a", Piece((ReasoningDelta("hm"),)), BROKE_OFF)
    second = FakePeer("b", SAID, END)
    await Fleet(first, second).answer()
    assert second.asked == [ASKED]


@pytest.mark.parametrize(("num_pieces", "text"), [(2, "It"), (3, "It is")])
async def test_an_answer_that_was_thought_of_is_gone_on_with_from_its_thoughts_and_text(
    num_pieces: int, text: str
) -> None:
    pieces = [
        Piece((ReasoningDelta("It "),)),
        Piece((ReasoningDelta("is so."), TextDelta("It"))),
        Piece((TextDelta(" is"),)),
    ][:num_pieces]
    second = FakePeer("b", END)
    await Fleet(FakePeer("a", *pieces, BROKE_OFF), second).answer()
    begun = Message("assistant", (TextPart(text),), reasoning="It is so.")
    assert [request.messages for request in second.asked] == [(*ASKED.messages, begun)]


async def test_it_waits_until_another_is_known() -> None:
    fleet = Fleet(FakePeer("a", SAID, BROKE_OFF), FakePeer("b", END))
    fleet.known, fleet.known_after_rest = ["a"], ["b"]
    assert (await fleet.answer())[-1] == END
    assert fleet.num_rests == 1


async def test_nobody_else_is_waited_for_not_for_ever() -> None:
    fleet = Fleet(FakePeer("a", SAID, BROKE_OFF))
    with pytest.raises(AnswerBrokeOff):
        await fleet.answer()
    assert fleet.num_rests < 6
    assert fleet.moves[0] == "a is asked again"


async def test_what_a_peer_refuses_is_not_asked_elsewhere() -> None:
    second = FakePeer("b", END)
    with pytest.raises(Overloaded):
        await Fleet(FakePeer("a", Overloaded("full")), second).answer()
    assert not second.asked


async def test_models_are_told_by_whoever_answers() -> None:
    fleet = Fleet(FakePeer("a", NoPeer("gone")), FakePeer("b"))
    assert [model.id for model in await fleet.backend.models()] == ["m"]
    assert fleet.backend.name == "b"
