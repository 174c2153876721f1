"""The fake engine: its answers depend on every token before, and can be resumed anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from cortex.engine.errors import InvalidRequest
from cortex.engine.fake import FakeConfig, FakeService, read_script
from cortex.engine.fake_answer import Answer, HashSource, Made, ScriptSource
from cortex.engine.frames import pack_value
from cortex.engine.messages import (
    Cancel,
    Generate,
    GenerateFailed,
    JobFailed,
    Load,
    Loaded,
    Message,
    Step,
    StepPart,
    Waiting,
    Wanted,
)
from cortex.engine.prompt import build_prompt
from cortex.engine.stream import Delta, TextDelta, Usage
from cortex.engine.text_model import load_text_model
from cortex.engine.types import ChatRequest, Grammar, ImagePart, Prompt, TextPart
from cortex.engine.types import Message as Turn

_DIR = Path(__file__).parent.parent.parent / "engine" / "assets" / "fake"
_IMAGES = Path(__file__).parent.parent / "golden" / "images"
_MODEL = load_text_model(_DIR)
_REPLIES = ("Erste Antwort: na\u00efve \U0001f642.", "second", "third")


def ask(*contents: str | bytes, **fields: object) -> Prompt:
    """A conversation: user and assistant in turns, strings text and bytes pictures."""
    turns = tuple(
        Turn(
            "assistant" if number % 2 else "user",
            (TextPart(c) if isinstance(c, str) else ImagePart(c),),
        )
        for number, c in enumerate(contents)
    )
    request = replace(ChatRequest("fake", turns, seed=1, now_s=0), **fields)
    return build_prompt(_MODEL, request, 32768).prompt


def hashed(prompt: Prompt, resume: Sequence[int] = ()) -> Answer:
    return Answer(_MODEL.tokenizer, prompt, HashSource(_MODEL.tokenizer, prompt), resume)


def scripted(prompt: Prompt, resume: Sequence[int] = ()) -> Answer:
    source = ScriptSource(_MODEL.tokenizer, prompt, _REPLIES)
    return Answer(_MODEL.tokenizer, prompt, source, resume)


def play(answer: Answer) -> list[Made]:
    made = [answer.step()]
    while made[-1].finish is None:
        made.append(answer.step())
    return made


def text_of(made: Sequence[Made]) -> str:
    return words(delta for m in made for delta in m.deltas)


def words(deltas: Iterable[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


def ids_of(made: Sequence[Made]) -> list[int]:
    return [i for m in made for i in m.token_ids]


def test_pictures_change_the_answer() -> None:
    square, alpha = (
        ask((_IMAGES / name).read_bytes()) for name in ("square_96.png", "alpha_75x75.png")
    )
    assert square.token_ids == alpha.token_ids
    assert text_of(play(hashed(square))) != text_of(play(hashed(alpha)))


def test_one_lost_or_doubled_token_changes_everything_after_it() -> None:
    prompt = ask("Hello")
    ids = ids_of(play(hashed(prompt)))
    for resume in ([*ids[:4], ids[4], ids[4]], [*ids[:3], ids[4]]):
        assert ids_of(play(hashed(prompt, resume)))[:8] != ids[len(resume) : len(resume) + 8]


@given(st.integers(0, 400), st.booleans())
def test_answer_resumed_anywhere_goes_on_as_if_never_cut(cut: int, scripted_one: bool) -> None:
    start = scripted if scripted_one else hashed
    prompt = ask("Hello", stop=("zz", "naive"), top_logprobs=2)
    whole = play(start(prompt))
    before, after = whole[: cut % len(whole)], whole[cut % len(whole) :]
    resumed = play(start(prompt, ids_of(before)))
    assert resumed == after


def test_script_is_played_by_the_turn_of_the_conversation() -> None:
    assert text_of(play(scripted(ask("a")))) == _REPLIES[0]
    assert text_of(play(scripted(ask("a", "x", "b")))) == _REPLIES[1]
    assert text_of(play(scripted(ask("a", "x", "b", "y", "c", "z", "d")))) == _REPLIES[0]


def test_pieces_never_hold_part_of_a_character() -> None:
    pieces = [words(m.deltas) for m in play(scripted(ask("a")))]
    assert "\U0001f642" in pieces
    assert not any("\ufffd" in piece for piece in pieces)


def test_an_answer_cut_inside_a_character_ends_before_it_and_by_its_length() -> None:
    cut = len(_REPLIES[0].encode()) - 2
    made = play(scripted(ask("a", max_tokens=cut, stop=("\ufffd",))))
    assert (made[-1].finish, made[-1].stop_text) == ("length", None)


def test_a_stop_token_that_is_a_letter_ends_no_answer_before_it_may_end() -> None:
    letters = tuple(_MODEL.tokenizer.encode(letter)[0] for letter in "etaoin ")
    lengths: list[int] = []
    for number in range(8):
        made = play(hashed(ask(f"hi {number}", stop_token_ids=letters, min_tokens=12)))
        assert made[-1].finish == "stop"
        lengths.append(sum(len(m.token_ids) for m in made))
    assert all(12 <= length < 96 for length in lengths)


def test_answer_says_by_whose_limit_it_ended() -> None:
    prompt = replace(ask("a", max_tokens=2), limited_by="context")
    for made in (play(hashed(prompt)), play(hashed(prompt, ids_of(play(hashed(prompt)))))):
        assert (made[-1].finish, made[-1].stop_text) == ("context", None)


class Bench:
    """A fake engine, loaded, and what it has sent."""

    def __init__(self, config: FakeConfig) -> None:
        self._sent: asyncio.Queue[Message] = asyncio.Queue()
        self.service = FakeService(config, self._sent.put_nowait)
        self._running = asyncio.create_task(self.service.run())

    async def hear(self) -> Message:
        async with asyncio.timeout(20):
            return await self._sent.get()

    async def close(self) -> None:
        self._running.cancel()
        await asyncio.wait({self._running})
        await self.service.close()

    async def load(self) -> None:
        await self.service.handle(Load("job", "fake", str(_DIR)))
        while not isinstance(await self.hear(), Loaded):
            pass

    async def generate(self, name: str, prompt: Prompt, epoch: int = 1) -> None:
        wanted = (Wanted(name, epoch),)
        await self.service.handle(Generate("fake", wanted, Raw(pack_value(prompt))))

    async def parts(self, names: set[str]) -> list[list[StepPart]]:
        """The steps until all the named requests have finished."""
        steps: list[list[StepPart]] = []
        while names:
            message = await self.hear()
            if isinstance(message, Step):
                steps.append(list(message.parts))
                names = names - {p.request_id for p in message.parts if p.finish}
        return steps


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench(FakeConfig(_REPLIES))
    yield bench
    await bench.close()


async def test_load_of_a_folder_without_a_model_fails_by_name(bench: Bench, tmp_path: Path) -> None:
    await bench.service.handle(Load("j", "m", str(tmp_path)))
    failed = await bench.hear()
    assert isinstance(failed, JobFailed)
    assert failed.error.code == "model_invalid"


async def test_many_requests_share_each_step(bench: Bench) -> None:
    await bench.load()
    for name in ("a", "b", "c"):
        await bench.generate(name, ask(name))
    steps = await bench.parts({"a", "b", "c"})
    assert {p.request_id for p in steps[0]} == {"a", "b", "c"}
    for name in ("a", "b", "c"):
        mine = [p for step in steps for p in step if p.request_id == name]
        assert "".join(words(p.deltas) for p in mine) == _REPLIES[0]
        assert mine[-1].usage == Usage(len(ask(name).token_ids), len(_REPLIES[0].encode()))


async def test_cancelled_request_says_so_and_stops() -> None:
    bench = Bench(FakeConfig(_REPLIES, token_interval_ms=60_000))
    await bench.load()
    await bench.generate("r", ask("a"), epoch=2)
    assert isinstance(await bench.hear(), Waiting)
    await bench.service.handle(Cancel("r", 1))  # an attempt that is over: not this one
    assert bench.service.alive().queued == 1
    await bench.service.handle(Cancel("r", 2))
    [[part]] = await bench.parts({"r"})
    assert part.finish == "cancelled"
    assert bench.service.alive().queued == 0
    await bench.close()


def test_script_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text('{"replies": ["a", "b"], "token_interval_ms": 5}')
    assert read_script(path) == FakeConfig(("a", "b"), 5)
    path.write_text('{"token_interval_ms": 5}')
    assert read_script(path) == FakeConfig((), 5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"replies": []}',
        '{"replies": "a"}',
        '{"replies": [1]}',
        '{"reply": "a"}',
        '{"replies": ["a"], "token_interval_ms": -1}',
        '{"harm": {"how": "kill"}}',
        '{"harm": {"how": "drown", "at": 1}}',
        '{"harm": {"how": "kill", "at": true}}',
        '{"harm": {"how": "kill", "at": 1, "epochs": "2"}}',
        '{"harm": {"how": "kill", "at": 1, "when": 2}}',
    ],
)
def test_bad_script_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "script.json"
    path.write_text(text)
    with pytest.raises(InvalidRequest, match=r"script\.json"):
        read_script(path)


def test_choices_differ_and_each_resumes_as_itself() -> None:
    prompt = ask("hello", max_tokens=40)
    tokenizer = _MODEL.tokenizer
    whole = [play(Answer(tokenizer, prompt, HashSource(tokenizer, prompt, c))) for c in range(3)]
    assert len({text_of(made) for made in whole}) == 3
    assert ids_of(whole[0]) == ids_of(play(hashed(prompt)))
    begun = ids_of(whole[2])[:5]
    rest = play(Answer(tokenizer, prompt, HashSource(tokenizer, prompt, 2), begun))
    assert begun + ids_of(rest) == ids_of(whole[2])


async def test_a_hashed_answer_obeys_its_grammar_and_a_scripted_one_its_script() -> None:
    prompt = ask("a", grammar=Grammar("choice", '["yes", "no"]'))
    for config, expected in ((FakeConfig(), {"yes", "no"}), (FakeConfig(("Who knows?",)), None)):
        bench = Bench(config)
        await bench.load()
        await bench.generate("r", prompt)
        steps = await bench.parts({"r"})
        told = "".join(words(part.deltas) for step in steps for part in step)
        assert told in (expected or {"Who knows?"})
        await bench.close()


async def test_a_grammar_that_leads_nowhere_fails_its_request_alone() -> None:
    bench = Bench(FakeConfig())
    await bench.load()
    await bench.generate("dead", ask("a", grammar=Grammar("lark", 'start: "a" b\nb: b "c"')))
    await bench.generate("r", ask("b"))
    failed: GenerateFailed | None = None
    while failed is None:
        message = await bench.hear()
        failed = message if isinstance(message, GenerateFailed) else None
    assert (failed.request_id, failed.error.code) == ("dead", "invalid_request")
    assert await bench.parts({"r"})
    await bench.close()
