"""The text process's service: prompts out, failures named, work called off."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cortex.engine.errors import EngineFailed, InternalError, InvalidImage
from cortex.engine.frames import unpack_value
from cortex.engine.messages import (
    CancelPrepare,
    Count,
    Counted,
    Message,
    Prepare,
    Prepared,
    PrepareFailed,
)
from cortex.engine.prompt import build_prompt
from cortex.engine.text import TextService
from cortex.engine.text_model import load_text_model
from cortex.engine.types import (
    ChatRequest,
    Grammar,
    ImagePart,
    Prompt,
    RawText,
    TextPart,
    Tool,
    VectorWish,
)
from cortex.engine.types import Message as Turn
from cortex.engine.vector_prompt import build_vector_prompt

_MODEL_DIR = Path(__file__).parent.parent / "golden" / "qwen3_5"
_PICTURE = (_MODEL_DIR.parent / "images" / "square_96.png").read_bytes()


class Desk:
    """A text service and what it has sent."""

    def __init__(
        self,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sent: asyncio.Queue[Message] = asyncio.Queue()
        self.service = TextService(self._send, sleep, clock)

    @property
    def is_silent(self) -> bool:
        return self._sent.empty()

    def _send(self, message: Message) -> None:
        self._loop.call_soon_threadsafe(self._sent.put_nowait, message)

    async def prepare(self, request: ChatRequest, request_id: str = "r") -> None:
        await self.service.handle(Prepare(request_id, str(_MODEL_DIR), request, 4096))

    async def hear(self) -> Message:
        async with asyncio.timeout(20):
            return await self._sent.get()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    yield desk
    await desk.service.close()


def ask(*content: str | bytes) -> ChatRequest:
    parts = tuple(TextPart(c) if isinstance(c, str) else ImagePart(c) for c in content)
    return ChatRequest("m", (Turn("user", parts),), seed=1, now_s=0)


async def test_prepared_prompt_is_the_built_one(desk: Desk) -> None:
    request = ask("What is it?", _PICTURE)
    await desk.prepare(request)
    answer = await desk.hear()
    assert isinstance(answer, Prepared)
    built = build_prompt(load_text_model(_MODEL_DIR), request, 4096)
    assert unpack_value(Prompt, answer.prompt) == built.prompt
    assert answer.prompt_hash == built.prompt_hash
    assert answer.images == built.images
    assert answer.prompt_tokens == len(built.prompt.token_ids)
    assert answer.max_tokens == built.prompt.max_tokens


async def test_a_picture_of_an_earlier_turn_is_not_opened_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.prepare(ask(_PICTURE, "What is it?"))
    first = await desk.hear()

    def opened(*_: object) -> None:
        raise AssertionError("it was there")

    monkeypatch.setattr("cortex.engine.kept_pictures.prepare_image", opened)
    await desk.prepare(ask(_PICTURE, "What is it?", "And what colour?"))
    again = await desk.hear()
    assert isinstance(first, Prepared) and isinstance(again, Prepared)
    shown = [unpack_value(Prompt, each.prompt).images for each in (first, again)]
    assert shown[0] == shown[1] != ()


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        (_PICTURE, "cortex.engine.kept_pictures.prepare_image"),
        ("What is it?", "cortex.engine.tokenizer._encode"),
    ],
)
async def test_what_was_not_sent_for_long_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, asked: bytes | str, where: str
) -> None:
    class TicksOver(Exception):
        pass

    now_s, ticks = [0.0], iter((1.0, 601.0))

    async def tick(_: float) -> None:
        now_s[0] = next(ticks, 0.0)
        if not now_s[0]:
            raise TicksOver

    desk = Desk(tick, lambda: now_s[0])
    try:
        await desk.prepare(ask(asked))
        assert isinstance(await desk.hear(), Prepared)
        with pytest.raises(TicksOver):
            await desk.service.run()

        def made(*_: object, **__: object) -> None:
            raise InvalidImage("made again")

        monkeypatch.setattr(where, made)
        await desk.prepare(ask(asked))
        again = await desk.hear()
        assert isinstance(again, PrepareFailed) and again.error.message == "made again"
    finally:
        await desk.service.close()


async def test_refusal_carries_its_code(desk: Desk) -> None:
    await desk.prepare(ask(b"no picture"))
    answer = await desk.hear()
    assert isinstance(answer, PrepareFailed)
    assert answer.error.code == "invalid_image"


async def test_missing_model_folder_is_refused_by_name(desk: Desk, tmp_path: Path) -> None:
    await desk.service.handle(Prepare("r", str(tmp_path), ask("a"), 4096))
    answer = await desk.hear()
    assert isinstance(answer, PrepareFailed)
    assert answer.error.code == "model_invalid"
    assert "config.json" in answer.error.message


async def test_called_off_requests_are_left_and_others_go_on_without_a_word(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cortex.engine")  # as the process shows it
    slow = ask(*[json.dumps(list(range(2000))), _PICTURE] * 3)
    for number in range(8):
        await desk.prepare(slow, f"unwanted-{number}")
    for number in range(8):
        await desk.service.handle(CancelPrepare(f"unwanted-{number}"))
    await desk.prepare(ask("a"), "wanted")
    heard: list[str] = []
    while "wanted" not in heard:
        answer = await desk.hear()
        assert isinstance(answer, Prepared | PrepareFailed)
        heard.append(answer.request_id)
    assert len(heard) < 9
    assert not caplog.records


async def test_bug_is_answered_and_logged_without_client_words(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("own " + "words")  # in two, as the log quotes this line

    monkeypatch.setattr("cortex.engine.text.build_prompt", broken)
    with caplog.at_level(logging.ERROR):
        await desk.prepare(ask("a"))
        answer = await desk.hear()
    assert isinstance(answer, PrepareFailed)
    assert answer.error.code == "internal_error"
    assert "own words" not in answer.error.message + caplog.text
    assert "type=KeyError" in caplog.text


async def test_what_python_calls_no_exception_is_answered_all_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        pass

    def broken(*_: object) -> None:
        raise Panic

    monkeypatch.setattr("cortex.engine.text.build_prompt", broken)
    await desk.prepare(ask("a"))
    answer = await desk.hear()
    assert isinstance(answer, PrepareFailed)
    assert answer.error.code == "internal_error"


async def no_time(seconds: float) -> None:
    assert seconds == 1
    await asyncio.sleep(0)


async def test_a_piece_of_work_without_end_is_blamed_by_name_and_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    both_begun, over = threading.Barrier(3), threading.Event()

    def endless(*_: object) -> None:
        both_begun.wait(20)
        over.wait()

    monkeypatch.setattr("cortex.engine.text.build_prompt", endless)
    desk = Desk(no_time)
    try:
        for name in ("guilty", "left", "waiting"):
            await desk.prepare(ask("a"), name)
        await asyncio.to_thread(both_begun.wait, 20)
        await desk.service.handle(CancelPrepare("left"))
        with pytest.raises(EngineFailed, match=r"qwen3_5: .* 120 s"):
            await desk.service.run()
        answer = await desk.hear()
        assert isinstance(answer, PrepareFailed)
        assert (answer.request_id, answer.error.code) == ("guilty", "invalid_request")
        assert desk.is_silent
        for name in ("guilty", "left"):
            assert f"request={name} path={_MODEL_DIR}" in caplog.text
        assert "waiting" not in caplog.text
    finally:
        over.set()
        await desk.service.close()


async def test_many_pieces_may_take_longer_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, over = threading.Event(), threading.Event()
    pieces: list[Callable[[], None]] = []
    num_ticks = 0

    def patient(*arguments: Any) -> None:
        pieces.extend([arguments[3]] * 3)
        begun.set()
        over.wait()

    async def tick(_: float) -> None:
        nonlocal num_ticks
        num_ticks += 1
        if num_ticks % 100 == 0 and pieces:
            pieces.pop()()

    monkeypatch.setattr("cortex.engine.text.build_prompt", patient)
    desk = Desk(tick)
    try:
        await desk.prepare(ask("a"))
        assert await asyncio.to_thread(begun.wait, 20)
        with pytest.raises(EngineFailed):
            await desk.service.run()
        assert num_ticks == 300 + 120 - 1
    finally:
        over.set()
        await desk.service.close()


async def test_a_request_called_off_has_no_more_of_its_tools_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, over = threading.Event(), threading.Event()
    tried: list[str] = []

    class SlowTrial:
        def why_not(self, grammar: str, _: object) -> None:
            tried.append(grammar)
            begun.set()
            over.wait()

        def close(self) -> None: ...

    monkeypatch.setattr("cortex.engine.text.GrammarTrial", SlowTrial)
    desk = Desk()
    schema = '{"properties": {"a": {"type": "integer", "maximum": 5}}}'
    offered = tuple(Tool(f"f{number}", "", schema, is_strict=True) for number in range(9))
    await desk.prepare(msgspec.structs.replace(ask("a"), tools=offered), "unwanted")
    try:
        assert await asyncio.to_thread(begun.wait, 20)
        await desk.service.handle(CancelPrepare("unwanted"))
    finally:
        over.set()
    pool = desk.service._pool  # pyright: ignore[reportPrivateUsage]
    await asyncio.to_thread(pool.shutdown)
    await desk.service.close()
    assert len(tried) == 1
    assert desk.is_silent


async def test_message_for_another_process_is_a_bug(desk: Desk) -> None:
    prompt = msgspec.Raw(msgspec.msgpack.encode("a prompt"))
    with pytest.raises(InternalError, match="Prepared"):
        await desk.service.handle(Prepared("r", 0, (), 0, b"", prompt))


async def test_a_request_for_a_vector_becomes_its_prompt(desk: Desk) -> None:
    wish = VectorWish(dimensions=3)
    request = ChatRequest("m", (), seed=0, now_s=0, raw=RawText("Hello"), vector=wish)

    await desk.prepare(request)
    answer = await desk.hear()

    assert isinstance(answer, Prepared)
    model = load_text_model(_MODEL_DIR)
    built = build_vector_prompt(model, request, wish, 4096)
    assert unpack_value(Prompt, answer.prompt) == built.prompt
    assert (answer.max_tokens, answer.prompt_tokens) == (0, len(built.prompt.token_ids))


async def test_a_count_is_the_length_of_the_prompt_without_the_prompt(desk: Desk) -> None:
    request = ask("What is it?", _PICTURE)
    await desk.service.handle(Count("r", str(_MODEL_DIR), request))
    built = build_prompt(load_text_model(_MODEL_DIR), request, 4096)
    assert await desk.hear() == Counted("r", len(built.prompt.token_ids))


async def test_a_count_of_what_can_be_no_prompt_carries_its_code(desk: Desk) -> None:
    await desk.service.handle(Count("r", str(_MODEL_DIR), ask(b"no picture")))
    answer = await desk.hear()
    assert isinstance(answer, PrepareFailed)
    assert (answer.request_id, answer.error.code) == ("r", "invalid_image")


async def test_a_schema_that_cannot_be_obeyed_is_refused_and_the_next_is_served(desk: Desk) -> None:
    for source, is_refused in (('{"not": {}}', True), ('{"type": "object"}', False)):
        grammar = Grammar("json_schema", source, "text.format.schema")
        await desk.prepare(msgspec.structs.replace(ask("a"), grammar=grammar))
        answer = await desk.hear()
        if is_refused:
            assert isinstance(answer, PrepareFailed)
            assert answer.error.code == "invalid_request"
            assert answer.error.param == "text.format.schema"
            assert '"not"' in answer.error.message
        else:
            assert isinstance(answer, Prepared)
            assert "%json" in unpack_value(Prompt, answer.prompt).grammar
