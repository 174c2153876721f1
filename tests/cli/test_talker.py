"""What is asked of a backend, turn by turn."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncGenerator

from cortex.cli.bridge import bridge
from cortex.cli.diagnostics import Diagnostics
from cortex.cli.output import Output
from cortex.cli.talker import Manner, Talker
from cortex.engine.stream import Accepted, Event, Finished, Piece, TextDelta, Usage
from cortex.engine.types import ChatRequest
from cortex.peer.talk.conversation import Conversation, Wishes
from cortex.peer.types import ModelInfo


class Backend:
    """Says one word, and remembers what it was asked."""

    name = answered_by = "atlas"

    def __init__(self) -> None:
        self.asked: list[ChatRequest] = []

    async def models(self) -> tuple[ModelInfo, ...]:
        return ()

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event]:
        self.asked.append(request)
        yield Accepted(4, (), 9)
        yield Piece((TextDelta("yes"),))
        yield Finished("stop", Usage(4, 3))


def seeds_of_two_turns(wishes: Wishes) -> list[int]:
    backend = Backend()
    output, diagnostics = Output(io.StringIO()), Diagnostics(io.StringIO(), can_redraw=False)
    with bridge() as loop:
        talker = Talker(
            backend,
            loop,
            "m",
            Conversation(wishes),
            output,
            diagnostics,
            Manner("plain"),
            contextlib.nullcontext,
        )
        talker.answer("one")
        talker.answer("one")
    return [request.seed for request in backend.asked]


def test_each_turn_is_drawn_afresh() -> None:
    first, second = seeds_of_two_turns(Wishes())
    assert first != second


def test_a_seed_that_was_asked_for_is_that_of_every_turn() -> None:
    assert seeds_of_two_turns(Wishes(seed=7)) == [7, 7]
