"""What a slow reader finds."""

from __future__ import annotations

import pytest

from cortex.engine.errors import EngineFailed
from cortex.engine.stream import Finished, Piece, Stage, TextDelta, Usage
from cortex.engine.types import ScoredToken, TokenLogprob
from cortex.peer.children.mailbox import Mailbox

DONE = Finished("stop", Usage(1, 2))
A = Piece((TextDelta("a"),), (1,))


async def test_stages_replace_each_other_and_text_melts_together():
    mailbox = Mailbox()
    for done in range(1000):
        mailbox.put_stage(Stage("prefill", done))
    assert await mailbox.get() == Stage("prefill", 999)
    for number in range(1000):
        mailbox.put_piece(Piece((TextDelta("ab"),), (number, number)))
    mailbox.end(DONE)
    piece = await mailbox.get()
    assert isinstance(piece, Piece)
    assert (piece.deltas, len(piece.token_ids)) == ((TextDelta("ab" * 1000),), 2000)
    assert await mailbox.get() == DONE


async def test_stage_after_text_is_read_after_it():
    mailbox = Mailbox()
    mailbox.put_piece(Piece((TextDelta("a"),), (1,)))
    mailbox.put_stage(Stage("starting"))
    mailbox.put_stage(Stage("loading"))
    assert [await mailbox.get(), await mailbox.get()] == [
        Piece((TextDelta("a"),), (1,)),
        Stage("loading"),
    ]


async def test_tokens_of_a_choice_are_kept_whether_they_were_read_or_not():
    mailbox = Mailbox()
    mailbox.put_piece(Piece((TextDelta("a"),), (1, 2)))
    await mailbox.get()
    mailbox.put_piece(Piece((), (3,)))
    mailbox.put_piece(Piece((TextDelta("b"),), (9,), choice=1))
    assert [mailbox.token_ids(choice) for choice in range(3)] == [(1, 2, 3), (9,), ()]


async def test_text_overtakes_a_stage_nobody_read():
    mailbox = Mailbox()
    mailbox.put_stage(Stage("prefill"))
    mailbox.put_piece(A)
    assert await mailbox.get() == A


async def test_error_comes_after_the_text_before_it_and_only_once():
    mailbox = Mailbox()
    mailbox.put_piece(A)
    mailbox.end(EngineFailed("it died"))
    mailbox.end(DONE)
    assert await mailbox.get() == A
    with pytest.raises(EngineFailed):
        await mailbox.get()


async def test_choices_stay_apart_and_each_ends_for_itself():
    mailbox = Mailbox()
    told = (TokenLogprob(ScoredToken(b"b", -0.5)),)
    mailbox.put_piece(Piece((TextDelta("b"),), (2,), told, choice=1))
    mailbox.put_piece(A)
    mailbox.put_piece(Piece((TextDelta("b"),), (3,), told, choice=1))
    mailbox.end(Finished("length", Usage(1, 2), choice=1))
    assert await mailbox.get() == Piece((TextDelta("bb"),), (2, 3), told * 2, choice=1)
    assert await mailbox.get() == A
    assert await mailbox.get() == Finished("length", Usage(1, 2), choice=1)
    mailbox.put_piece(A)
    mailbox.end(DONE)
    assert [await mailbox.get(), await mailbox.get()] == [A, DONE]


async def test_an_error_ends_what_choices_are_left():
    mailbox = Mailbox()
    mailbox.end(Finished("stop", Usage(1, 2), choice=1))
    mailbox.end(EngineFailed("it died"))
    assert await mailbox.get() == Finished("stop", Usage(1, 2), choice=1)
    with pytest.raises(EngineFailed):
        await mailbox.get()
