"""What takes long to make of an answer is made beside the others: what another engine told of it is
read again, and an echoed prompt is spelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from cortex.engine.answer import AnswerText
from cortex.engine.errors import EngineFailed, to_info
from cortex.engine.events import DeviceEvent, ModelLoaded, NewToken, Started
from cortex.engine.messages import GenerateFailed, Loaded, Message, Step, StepPart, Unloaded
from cortex.engine.texts import Texts
from cortex.engine.tokenizer import Tokenizer
from cortex.engine.types import Prompt, Sampling, TokenScores

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


async def test_a_long_echo_is_spelled_beside_others_and_comes_with_the_first_token() -> None:
    token_ids = tuple(_TOKENIZER.encode_raw("These are words. " * 400))
    prompt = replace(_PROMPT, token_ids=token_ids, echo="These", top_logprobs=0)
    scores = (TokenScores(-0.5, ()),) * (len(token_ids) - 1)
    first, *others = made("long", _NEW)
    assert isinstance(first, NewToken)
    first = NewToken("long", 1, first.token_id, prompt_scores=scores)
    begun = Started("long", 1, "m", prompt, ())
    heard = await told([_LOADED, begun, _SHORT, first], made("short", _NEW), others)

    assert names(heard) == ["short"] * len(_NEW) + ["long"] * len(_NEW)
    parts = [part for part in heard if isinstance(part, StepPart) and part.request_id == "long"]
    assert [len(part.logprobs) for part in parts] == [len(token_ids)] + [0] * len(others)


async def test_nobody_spells_the_prompt_of_one_that_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(AnswerText, "spell_prompt")
    prompt = replace(_PROMPT, echo="These", top_logprobs=0)
    scores = (TokenScores(-0.5, ()),) * 2
    cancelled = NewToken("long", 1, None, "cancelled", prompt_scores=scores)
    begun = Started("long", 1, "m", prompt, ())

    assert names(await told([_LOADED, begun, cancelled])) == ["long"]
