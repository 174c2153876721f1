"""Answers that another engine began: what was told of them is read again beside all the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from cortex.engine.answer import AnswerText
from cortex.engine.errors import EngineFailed, to_info
from cortex.engine.events import DeviceEvent, ModelLoaded, NewToken, Started
from cortex.engine.messages import GenerateFailed, Loaded, Message, Step, StepPart, Unloaded
from cortex.engine.texts import Texts
from cortex.engine.tokenizer import Tokenizer
from cortex.engine.types import Prompt, Sampling

_FOLDER = Path(__file__).parents[2] / "engine" / "assets" / "fake"
_TOKENIZER = Tokenizer(_FOLDER / "tokenizer.json")
_PROMPT = Prompt((1, 2, 3), (), (), Sampling(7), 10_000, (), ())
_LOADED = ModelLoaded(Loaded("job", "m", 1, 1.0), _TOKENIZER)
_TOLD = tuple(_TOKENIZER.encode("This is what its client has been told. ") * 20)
_LONG = Started("long", 1, "m", _PROMPT, _TOLD)
_SHORT = Started("short", 1, "m", _PROMPT, ())
_NEW = _TOKENIZER.encode("and more")


def made(name: str, token_ids: Sequence[int]) -> list[DeviceEvent]:
    *others, last = (NewToken(name, 1, token_id) for token_id in token_ids)
    return [*others, NewToken(name, 1, last.token_id, "length")]


async def told(*rounds: Sequence[DeviceEvent]) -> list[Message | StepPart]:
    """All that is sent of what the device thread hands over in these rounds."""
    heard: list[Message | StepPart] = []

    def send(message: Message) -> None:
        heard.extend(message.parts if isinstance(message, Step) else [message])

    texts = Texts(send, lambda _: None)
    life = asyncio.create_task(texts.catch_up())
    for events in rounds:
        texts.tell(tuple(events))
        await asyncio.sleep(0)
    for _ in _TOLD:  # more turns than the pieces that these are read in
        await asyncio.sleep(0)
    life.cancel()
    return heard[1:]  # what was loaded


def names(heard: Sequence[Message | StepPart]) -> list[str]:
    return [part.request_id for part in heard if isinstance(part, StepPart)]


async def test_others_do_not_wait_for_it_and_its_own_words_come_in_order() -> None:
    new = made("long", _NEW)
    heard = await told([_LOADED, _LONG, _SHORT, *new[:1]], made("short", _NEW), new[1:])

    assert names(heard) == ["short"] * len(_NEW) + ["long"] * len(_NEW)
    parts = [part for part in heard if isinstance(part, StepPart) and part.request_id == "long"]
    assert [token_id for part in parts for token_id in part.token_ids] == list(_NEW)
    assert parts[-1].usage is not None
    assert parts[-1].usage.completion_tokens == len(_TOLD) + len(_NEW)


async def test_of_one_that_is_cancelled_meanwhile_no_more_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    num_read, push = 0, AnswerText.resume

    def count(answer: AnswerText, token_ids: Sequence[int]) -> None:
        nonlocal num_read
        num_read += len(token_ids)
        push(answer, token_ids)

    monkeypatch.setattr(AnswerText, "resume", count)
    cancelled = NewToken("long", 1, None, "cancelled")
    heard = await told([_LOADED, _LONG, _SHORT, cancelled], made("short", _NEW))

    assert names(heard) == ["short"] * len(_NEW)
    assert num_read < len(_TOLD) // 2


async def test_one_that_fails_meanwhile_has_failed_before_its_model_is_gone() -> None:
    failed = GenerateFailed("long", 1, to_info(EngineFailed("its model goes")))
    gone = Unloaded("job", "m")

    assert await told([_LOADED, _LONG, NewToken("long", 1, _NEW[0])], [failed, gone]) == [
        failed,
        gone,
    ]


async def test_one_whose_model_goes_meanwhile_is_told_to_its_end() -> None:
    gone = Unloaded("job", "m")
    heard = await told([_LOADED, _LONG, *made("long", _NEW), gone])

    assert heard[0] == gone and names(heard) == ["long"] * len(_NEW)
