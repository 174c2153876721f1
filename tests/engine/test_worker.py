"""The engine process over its socket, with a real model: load, answer, resume, stop, cancel."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import Raw
from msgspec.structs import replace

from cortex.engine.answer import AnswerText
from cortex.engine.child import serve
from cortex.engine.errors import DevicePoisoned, EngineFailed
from cortex.engine.frames import pack_message, pack_value, read_message
from cortex.engine.loop import DeviceLoop
from cortex.engine.memory import MAX_SEQUENCES
from cortex.engine.messages import (
    Alive,
    Cancel,
    Ending,
    Estimate,
    Estimated,
    Generate,
    GenerateFailed,
    JobFailed,
    Load,
    Loaded,
    Message,
    Pooled,
    Progress,
    Step,
    StepPart,
    Unload,
    Unloaded,
    Waiting,
    Wanted,
)
from cortex.engine.runner import Runner
from cortex.engine.stream import Delta, Stage, TextDelta
from cortex.engine.types import Pooling, Prompt, Sampling
from cortex.engine.weights import read_tensors
from cortex.engine.wishes import AS_ALL, ModelWishes, PixelWishes, Wishes
from cortex.engine.worker import Worker

TIMEOUT_S = 60.0


class Engine:
    """A worker in this process, spoken to as a peer speaks to its child."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        life: asyncio.Task[None],
    ) -> None:
        self._reader, self._writer, self._life = reader, writer, life
        self.last_alive: Alive | None = None

    def say(self, message: Message) -> None:
        self._writer.write(pack_message(message))

    async def hear(self) -> Message:
        while True:
            message = await asyncio.wait_for(read_message(self._reader), TIMEOUT_S)
            assert message is not None, "the worker has gone"
            if not isinstance(message, Alive):
                return message
            self.last_alive = message

    async def load(
        self, folder: Path, wishes: ModelWishes = AS_ALL, num_slots: int | None = None
    ) -> Message:
        self.say(Load("job", "m", str(folder), max_sequences=num_slots, wishes=wishes))
        while isinstance(message := await self.hear(), Progress):
            assert 0 <= message.stage.done <= message.stage.total
        return message

    async def generate(
        self, prompt: Prompt, resume: tuple[int, ...] = (), choice: int = 0
    ) -> list[StepPart]:
        """All parts that come until the answer of request "r" has ended."""
        self.say(Generate("m", (Wanted("r", 1, resume, choice),), Raw(pack_value(prompt))))
        parts: list[StepPart] = []
        while not any(part.request_id == "r" and part.finish for part in parts):
            message = await self.hear()
            if isinstance(message, Step):
                parts.extend(message.parts)
            else:
                assert isinstance(message, Waiting), message
        return parts

    def hang_up(self) -> None:
        self._writer.close()

    async def ended(self) -> None:
        """Return, or raise, as the worker's life does."""
        await asyncio.wait_for(asyncio.shield(self._life), TIMEOUT_S)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with running() as engine:
        yield engine


@asynccontextmanager
async def running(memory_bytes: int | None = None) -> AsyncGenerator[Engine]:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=theirs)
    cpu = torch.device("cpu")
    worker = asyncio.create_task(
        serve(reader, writer, lambda send: Worker(cpu, Wishes(), send, memory_bytes))
    )
    engine = Engine(*await asyncio.open_unix_connection(sock=ours), worker)
    try:
        yield engine
    finally:
        engine.hang_up()
        await asyncio.wait({worker}, timeout=TIMEOUT_S)
    assert worker.done()
    worker.exception()  # its error, if any, is the test's affair


@pytest.fixture
def case(golden: Path) -> tuple[dict[str, Any], Prompt]:
    return text_case(golden / "qwen3_5")


def text_case(model_dir: Path) -> tuple[dict[str, Any], Prompt]:
    """A golden text case: greedy, sixteen tokens, no end tokens."""
    folder = model_dir / "expected"
    cases = json.loads((folder / "cases.json").read_text())["cases"]
    case = next(c for c in cases if c["case"] == "text_short")
    token_ids = tuple(int(i) for i in read_tensors(folder / case["file"])["input_ids"])
    return case, Prompt(token_ids, (), (), Sampling(seed=0, temperature=0.0), 16, (), ())


def ids_of(parts: list[StepPart]) -> list[int]:
    return [i for part in parts for i in part.token_ids]


def text_of(parts: list[StepPart]) -> str:
    deltas = (delta for part in parts for delta in part.deltas)
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


async def test_a_loaded_model_answers_with_the_golden_tokens(
    engine: Engine, golden: Path, case: tuple[dict[str, Any], Prompt]
) -> None:
    loaded = await engine.load(golden / "qwen3_5")
    assert isinstance(loaded, Loaded) and loaded.weight_bytes > 1_000_000
    assert 0 < loaded.num_slots <= MAX_SEQUENCES

    parts = await engine.generate(case[1])

    assert ids_of(parts) == case[0]["greedy_ids"]
    assert parts[-1].finish == "length"
    assert parts[-1].usage is not None and parts[-1].usage.completion_tokens == 16
    assert parts[-1].usage.prompt_tokens == case[0]["tokens"]


@pytest.mark.parametrize("name", ["qwen3", "qwen2", "llama", "qwen3_5_text"])
async def test_models_without_pictures_answer_with_the_golden_tokens(
    engine: Engine, golden: Path, name: str
) -> None:
    case, prompt = text_case(golden / name)
    assert isinstance(await engine.load(golden / name), Loaded)

    assert ids_of(await engine.generate(prompt)) == case["greedy_ids"]


async def test_choices_draw_apart_and_the_first_as_if_alone(
    engine: Engine, golden: Path, case: tuple[dict[str, Any], Prompt]
) -> None:
    await engine.load(golden / "qwen3_5")
    prompt = replace(case[1], sampling=Sampling(seed=99, temperature=2.0))
    choices = [ids_of(await engine.generate(prompt, choice=choice)) for choice in range(3)]

    assert len({tuple(ids) for ids in choices}) == 3
    assert choices[0] == ids_of(await engine.generate(prompt))
    assert choices[2][4:] == ids_of(await engine.generate(prompt, tuple(choices[2][:4]), 2))


async def test_log_probabilities_come_with_every_token_and_name_it_by_its_bytes(
    engine: Engine, golden: Path, case: tuple[dict[str, Any], Prompt]
) -> None:
    await engine.load(golden / "qwen3_5")
    parts = await engine.generate(replace(case[1], top_logprobs=2))
    entries = [entry for part in parts for entry in part.logprobs]

    assert len(entries) == len(ids_of(parts))
    # A greedy answer: each token is the best of its place.
    assert all(entry.top[0] == entry.token and len(entry.top) == 2 for entry in entries)
    said = b"".join(entry.token.data for entry in entries)
    assert said.decode("utf-8", "replace").startswith(text_of(parts).rstrip("\ufffd"))
    assert not any(part.logprobs for part in await engine.generate(case[1]))


async def test_an_echo_comes_with_the_first_token_and_what_the_model_made_of_the_prompt(
    engine: Engine, golden: Path, case: tuple[dict[str, Any], Prompt]
) -> None:
    await engine.load(golden / "qwen3_5")
    plain = text_of(await engine.generate(case[1]))
    asked = replace(case[1], echo="the prompt", top_logprobs=1)

    parts = await engine.generate(asked)
    resumed = await engine.generate(asked, resume=tuple(ids_of(parts)[:2]))

    assert text_of(parts) == "the prompt" + plain
    logprobs = [entry for part in parts for entry in part.logprobs]
    assert len(logprobs) == len(asked.token_ids) + len(ids_of(parts))
    assert [entry.token.logprob is None for entry in logprobs] == [True] + [False] * (
        len(logprobs) - 1
    )
    assert plain.endswith(text_of(resumed))
    assert resumed[-1].usage == parts[-1].usage
    assert [entry for part in resumed for entry in part.logprobs] == logprobs[
        -len(ids_of(resumed)) :
    ]


async def test_an_end_may_be_put_off_and_a_bias_may_bring_it(
    engine: Engine, golden: Path, case: tuple[dict[str, Any], Prompt]
) -> None:
    await engine.load(golden / "qwen3_5")
    end = case[0]["greedy_ids"][0]
    eager = replace(case[1].sampling, logit_bias=((end, 100.0),))
    prompt = replace(case[1], sampling=eager, stop_token_ids=(end,))

    assert ids_of(await engine.generate(prompt)) == []
    put_off = ids_of(await engine.generate(replace(prompt, min_tokens=3)))
    assert len(put_off) == 3
    assert end not in put_off
    forced = ids_of(await engine.generate(replace(prompt, stop_token_ids=())))
    assert set(forced) == {end}
    assert len(forced) == prompt.max_tokens


async def test_end_tokens_end_the_answer_and_are_not_part_of_it(
    engine: Engine, golden: Path, case: tuple[dict[str, Any], Prompt]
) -> None:
    await engine.load(golden / "qwen3_5")
    greedy = case[0]["greedy_ids"]

    parts = await engine.generate(replace(case[1], stop_token_ids=(greedy[4],)))

    assert ids_of(parts) == greedy[:4]
    assert parts[-1].finish == "stop"


async def test_the_end_of_a_plain_completion_has_its_log_probability_and_nothing_else(
    engine: Engine, golden: Path, case: tuple[dict[str, Any], Prompt]
) -> None:
    await engine.load(golden / "qwen3_5")
    asked = replace(case[1], top_logprobs=1, echo="the prompt", tells_end=True)
    going_on = await engine.generate(asked)
    ends = replace(asked, stop_token_ids=(case[0]["greedy_ids"][0],))

    [part] = await engine.generate(ends)
    [of_chat] = await engine.generate(replace(ends, tells_end=False))

    assert (part.token_ids, part.finish, text_of([part])) == ((), "stop", "the prompt")
    assert part.usage is not None and part.usage.completion_tokens == 0
    # What it would have been as a token like any other.
    drawn = going_on[0].logprobs[-1]
    assert part.logprobs == (*going_on[0].logprobs[:-1], replace(drawn, is_skipped=True))
    assert len(part.logprobs) == len(asked.token_ids) + 1
    assert of_chat.logprobs == part.logprobs[:-1]


async def test_a_stop_string_across_tokens_ends_the_answer_before_it(
    engine: Engine, golden: Path, case: tuple[dict[str, Any], Prompt]
) -> None:
    await engine.load(golden / "qwen3_5")
    text = text_of(await engine.generate(case[1]))
    stop = text[5:9]

    parts = await engine.generate(replace(case[1], stop=(stop,)))

    assert text_of(parts) == text[: text.index(stop)]
    assert (parts[-1].finish, parts[-1].stop_text) == ("stop", stop)


async def test_who_waits_is_told_its_place_and_has_that_of_one_who_leaves(
    engine: Engine, golden: Path, case: tuple[dict[str, Any], Prompt]
) -> None:
    await engine.load(golden / "qwen3_5", num_slots=1)
    engine.say(
        Generate("m", (Wanted("gone", 1),), Raw(pack_value(replace(case[1], max_tokens=100_000))))
    )
    parts: list[StepPart] = []
    async with asyncio.timeout(TIMEOUT_S):
        while not isinstance(await engine.hear(), Step):
            pass
        engine.say(Generate("m", (Wanted("r", 1),), Raw(pack_value(case[1]))))
        while not isinstance(waiting := await engine.hear(), Waiting):
            pass
        assert (waiting.request_id, waiting.stage) == ("r", Stage("queued", 1, 1, "place"))
        engine.say(Cancel("gone", 1))
        while not any(part.request_id == "r" and part.finish for part in parts):
            message = await engine.hear()
            parts += message.parts if isinstance(message, Step) else ()

    its = [part for part in parts if part.request_id == "r"]
    *left, last = parts[: parts.index(its[0])]
    assert last.finish == "cancelled" and not any(part.finish for part in left)
    assert parts == [*left, last, *its]
    assert ids_of(its) == case[0]["greedy_ids"]


async def test_a_vector_comes_once_and_in_no_words(
    engine: Engine, golden: Path, case: tuple[dict[str, Any], Prompt]
) -> None:
    await engine.load(golden / "qwen3_5")
    prompt = replace(case[1], max_tokens=0, pooling=Pooling("mean", True, 8))
    engine.say(Generate("m", (Wanted("r", 1),), Raw(pack_value(prompt))))

    heard = [await engine.hear()]
    while not isinstance(heard[-1], Pooled):
        heard.append(await engine.hear())

    assert all(isinstance(message, Waiting) for message in heard[:-1])
    assert isinstance(heard[-1], Pooled)
    assert (len(heard[-1].vector), heard[-1].prompt_tokens) == (32, case[0]["tokens"])
    # Nothing was left over: the next answer is the usual one.
    assert ids_of(await engine.generate(case[1])) == case[0]["greedy_ids"]


async def test_a_dead_device_thread_ends_the_process(
    engine: Engine, golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: DeviceLoop) -> None:
        raise RuntimeError("sticky")

    monkeypatch.setattr(DeviceLoop, "_take_jobs", broken)
    engine.say(Load("job", "m", str(golden / "qwen3_5")))

    with pytest.raises(EngineFailed, match="device thread"):
        await engine.ended()


async def test_a_device_error_that_lasts_ends_the_process_and_hands_everything_back(
    engine: Engine,
    golden: Path,
    case: tuple[dict[str, Any], Prompt],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await engine.load(golden / "qwen3_5")

    def broken(*_: object) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access\nlong advice follows")

    monkeypatch.setattr(Runner, "decode", broken)
    for name in ("a", "b"):
        engine.say(Generate("m", (Wanted(name, 1),), Raw(pack_value(case[1]))))
    heard: list[Message] = []
    while not isinstance(message := await engine.hear(), Ending):
        heard.append(message)

    assert message.error.code == "device_poisoned"
    assert message.error.message.endswith("an illegal memory access")
    assert not any(isinstance(m, GenerateFailed) for m in heard), "they can go on elsewhere"
    with pytest.raises(DevicePoisoned):
        await engine.ended()


async def test_an_answer_whose_text_fails_ends_alone(
    engine: Engine,
    golden: Path,
    case: tuple[dict[str, Any], Prompt],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await engine.load(golden / "qwen3_5")
    push, failing = AnswerText.push, list[AnswerText]()

    def fails_for_the_first(answer: AnswerText, token_id: int) -> tuple[Delta, ...]:
        failing[:] = failing or [answer]
        if answer is failing[0]:
            raise RuntimeError("secret words")
        return push(answer, token_id)

    monkeypatch.setattr(AnswerText, "push", fails_for_the_first)
    for name in ("a", "b"):
        engine.say(Generate("m", (Wanted(name, 1),), Raw(pack_value(case[1]))))
    ended: dict[str, Message | StepPart] = {}
    while len(ended) < 2:
        message = await engine.hear()
        if isinstance(message, GenerateFailed):
            ended[message.request_id] = message
        elif isinstance(message, Step):
            ended |= {part.request_id: part for part in message.parts if part.finish}

    assert isinstance(failed := ended["a"], GenerateFailed) and isinstance(ended["b"], StepPart)
    assert "secret" not in failed.error.message


async def test_an_answer_that_cannot_be_resumed_ends_alone_and_the_heartbeat_goes_on_meanwhile(
    engine: Engine,
    golden: Path,
    case: tuple[dict[str, Any], Prompt],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Others have their turn between the pieces of a long one."""
    await engine.load(golden / "qwen3_5")
    num_turns, turns_at_piece = 0, list[int]()

    def resume(answer: AnswerText, token_ids: Sequence[int]) -> None:
        turns_at_piece.append(num_turns)
        if len(turns_at_piece) == 3:
            raise RuntimeError("no text")

    async def take_turns() -> None:
        nonlocal num_turns
        while True:
            num_turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(AnswerText, "resume", resume)
    turns = asyncio.create_task(take_turns())
    prompt = replace(case[1], max_tokens=1000)
    engine.say(Generate("m", (Wanted("long", 1, (7,) * 600),), Raw(pack_value(prompt))))
    while not isinstance(failed := await engine.hear(), GenerateFailed):
        pass
    assert failed.request_id == "long"
    assert len(turns_at_piece) == len(set(turns_at_piece)) == 3
    turns.cancel()
    monkeypatch.undo()
    assert ids_of(await engine.generate(case[1])) == case[0]["greedy_ids"]


async def test_a_model_is_estimated_and_loaded_as_is_wished_of_it_alone(
    engine: Engine, golden: Path
) -> None:
    small = ModelWishes("bfloat16", PixelWishes(max_pixels=4096))
    engine.say(Estimate("job", str(golden / "qwen3_5"), small))
    estimated = await engine.hear()
    assert isinstance(estimated, Estimated) and estimated.costs.max_image_tokens == 4
    loaded = await engine.load(golden / "qwen3_5", small)
    assert isinstance(loaded, Loaded) and "bfloat16" in loaded.computes_in
    sizes = {part.name: part.num_bytes for part in loaded.memory}
    assert sizes["work of the largest picture"] == estimated.costs.vision_peak_bytes


async def test_a_folder_that_is_no_model_fails_the_load_by_name(
    engine: Engine, tmp_path: Path
) -> None:
    failed = await engine.load(tmp_path)

    assert isinstance(failed, JobFailed)
    assert failed.error.code == "model_invalid"
    assert str(tmp_path) in failed.error.message


async def test_a_request_for_an_unloaded_model_fails_and_the_worker_lives(
    engine: Engine, golden: Path, case: tuple[dict[str, Any], Prompt]
) -> None:
    await engine.load(golden / "qwen3_5")
    engine.say(Unload("job2", "m"))
    assert isinstance(await engine.hear(), Unloaded)
    engine.say(Generate("m", (Wanted("r", 1),), Raw(pack_value(case[1]))))
    failed = await engine.hear()
    assert isinstance(failed, GenerateFailed) and failed.error.code == "engine_failed"

    assert isinstance(await engine.load(golden / "qwen3_5"), Loaded)


async def test_hostile_prompt_bytes_fail_that_request_alone(engine: Engine, golden: Path) -> None:
    await engine.load(golden / "qwen3_5")
    engine.say(Generate("m", (Wanted("r", 1),), Raw(b"\xa5wrong")))

    failed = await engine.hear()

    assert isinstance(failed, GenerateFailed)
    assert b"not a prompt" not in failed.error.message.encode()


async def test_an_estimate_is_answered_while_the_device_is_busy(
    engine: Engine, golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_loading, may_go_on = threading.Event(), threading.Event()

    def wait(*_: object) -> None:
        is_loading.set()
        assert may_go_on.wait(TIMEOUT_S)
        raise EngineFailed("enough")

    monkeypatch.setattr("cortex.engine.reading.read_model", wait)
    engine.say(Load("load", "m", str(golden / "qwen3")))
    assert await asyncio.to_thread(is_loading.wait, TIMEOUT_S)

    engine.say(Estimate("there", str(golden / "qwen3")))
    engine.say(Estimate("not there", str(golden / "nothing")))
    there, not_there = await engine.hear(), await engine.hear()
    may_go_on.set()

    assert isinstance(there, Estimated) and there.job_id == "there"
    assert there.costs.weights_bytes > 100_000 and there.max_sequences == MAX_SEQUENCES
    assert isinstance(not_there, JobFailed) and not_there.error.code == "model_invalid"
    assert isinstance(failed := await engine.hear(), JobFailed) and failed.job_id == "load"


async def test_a_load_tells_what_it_took_and_what_it_was_estimated_to(
    engine: Engine, golden: Path
) -> None:
    loaded = await engine.load(golden / "qwen3_5")
    engine.say(Estimate("e", str(golden / "qwen3_5")))
    estimated = await engine.hear()

    assert isinstance(loaded, Loaded) and isinstance(estimated, Estimated)
    costs = estimated.costs
    if loaded.measured_bytes:  # little is taken of what this process holds already
        assert loaded.estimated_bytes == costs.weights_bytes + costs.tokenizer_bytes


async def test_two_models_answer_at_once_each_as_if_it_were_alone(
    engine: Engine, golden: Path
) -> None:
    names = ("qwen3_5", "llama")
    cases = {name: text_case(golden / name) for name in names}
    for name in names:
        engine.say(Load(name, name, str(golden / name), 512 << 20, None, 4))
        while not isinstance(said := await engine.hear(), Loaded):
            assert isinstance(said, Progress), said
        assert said.num_slots == 4

    for name in names:
        for n in range(2):
            engine.say(Generate(name, (Wanted(f"{name} {n}", 1),), Raw(pack_value(cases[name][1]))))
    ids: dict[str, list[int]] = {f"{name} {n}": [] for name in names for n in range(2)}
    unfinished, both = set(ids), 0
    while unfinished:
        said = await engine.hear()
        parts = said.parts if isinstance(said, Step) else ()
        both += len({part.request_id.split()[0] for part in parts}) == 2
        for part in parts:
            ids[part.request_id] += part.token_ids
            unfinished -= {part.request_id} if part.finish else set[str]()

    assert both > 5
    assert all(ids[key] == cases[key.split()[0]][0]["greedy_ids"] for key in ids)

    engine.say(Unload("u", "llama"))
    assert isinstance(await engine.hear(), Unloaded)
    engine.say(Generate("qwen3_5", (Wanted("r", 1),), Raw(pack_value(cases["qwen3_5"][1]))))
    rest: list[StepPart] = []
    while not (rest and rest[-1].finish):
        said = await engine.hear()
        rest += said.parts if isinstance(said, Step) else ()
    assert ids_of(rest) == cases["qwen3_5"][0]["greedy_ids"]


async def test_models_share_what_the_device_has_and_no_more_is_promised(golden: Path) -> None:
    """A budget of 64 MiB, of which a quarter is for what is remembered."""
    mib = 1 << 20
    async with running(64 * mib) as engine:
        engine.say(Load("a", "a", str(golden / "qwen3"), 30 * mib))
        engine.say(Load("b", "b", str(golden / "llama"), 30 * mib))
        engine.say(Unload("u", "a"))
        engine.say(Load("b", "b", str(golden / "llama"), 30 * mib))
        said: list[Message] = []
        while len(said) < 4:
            if not isinstance(m := await engine.hear(), Progress):
                said.append(m)
        assert engine.last_alive is not None
        assert engine.last_alive.remembered_bytes == 16 * mib
    first, refused, unloaded, second = said
    assert isinstance(first, Loaded) and isinstance(second, Loaded)
    assert isinstance(unloaded, Unloaded)
    assert isinstance(refused, JobFailed) and refused.error.code == "insufficient_vram"
    assert refused.error.shortage is not None
    assert refused.error.shortage.required_bytes == 30 * mib
