"""A child speaks first, answers, and ends when its parent is gone."""

from __future__ import annotations

import asyncio
import io
import mmap
import platform
import resource
import socket
import sys
import textwrap
from pathlib import Path

import pytest
from PIL import Image

from cortex.engine.child import POISONED_EXIT_CODE
from cortex.engine.errors import to_info
from cortex.engine.frames import pack_message, read_message
from cortex.engine.messages import (
    Alive,
    Ending,
    Generate,
    Load,
    Loaded,
    Message,
    Prepare,
    Prepared,
    Step,
    Wanted,
)
from cortex.engine.types import ChatRequest, ImagePart, TextPart
from cortex.engine.types import Message as Turn

_ROOT = Path(__file__).parent.parent.parent
_FAKE_DIR = str(_ROOT / "engine" / "assets" / "fake")
_ECHO = textwrap.dedent(
    """
    import asyncio, sys, threading, time
    from cortex.engine.child import run_child
    from cortex.engine.messages import Alive, Loaded

    class Echo:
        def __init__(self, send):
            self.send = send
        async def handle(self, message):
            if message.job_id == "bug":
                raise ValueError("the client's own words")
            threading.Thread(target=self.answer, args=(message,)).start()
        def answer(self, message):
            self.send(Loaded(message.job_id, message.model_id, 0, 0.0))
            if message.job_id == "stuck":
                time.sleep(600)
        def alive(self):
            return Alive(1, 2, 3)
        async def run(self):
            await asyncio.Event().wait()
        async def close(self):
            pass

    run_child(int(sys.argv[1]), Echo)
    """
)
_TALKER = textwrap.dedent(
    """
    import logging, sys
    from cortex.engine.child import run_child

    def say(send):
        logging.getLogger(__name__).debug("ours")
        logging.getLogger("cortex.engine.x").debug("ours")
        logging.getLogger("PIL.x").info("the client's own words")
        logging.getLogger("PIL.x").warning("a warning")
        sys.exit(1)

    run_child(int(sys.argv[1]), say, "DEBUG")
    """
)
_DESCRIPTION_TAG = 270


class Parent:
    """The other end of a child's socket."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.process = process
        self.writer = writer
        self._reader = reader

    def load(self, job_id: str) -> None:
        self.say(Load(job_id, "m", "/m"))

    def say(self, message: Message) -> None:
        self.writer.write(pack_message(message))

    async def hear(self) -> Message | None:
        async with asyncio.timeout(20):
            return await read_message(self._reader)

    async def end(self) -> int:
        self.writer.close()
        async with asyncio.timeout(5):
            return await self.process.wait()


async def start(*command: str) -> Parent:
    """Run Python with the command and, as its last word, the socket."""
    ours, theirs = socket.socketpair()
    fd = theirs.fileno()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        str(fd),
        pass_fds=(fd,),
        env={"PYTHONPATH": str(_ROOT / ".links")},
        stderr=asyncio.subprocess.PIPE,
    )
    theirs.close()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    return Parent(process, reader, writer)


async def start_echo() -> Parent:
    return await start("-c", _ECHO)


async def test_child_says_alive_first_and_answers_from_any_thread() -> None:
    parent = await start_echo()
    assert await parent.hear() == Alive(1, 2, 3)
    parent.load("a")
    assert await parent.hear() == Loaded("a", "m", 0, 0.0)
    assert await parent.end() == 0


async def test_child_that_crashes_leaves_no_core_dump_and_may_be_made_to(
    core_dumps_allowed: None,
) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    parent = await start_echo()
    assert await parent.hear() == Alive(1, 2, 3)
    assert resource.prlimit(parent.process.pid, resource.RLIMIT_CORE) == (0, hard)
    assert await parent.end() == 0


async def test_child_goes_on_saying_alive() -> None:
    parent = await start_echo()
    assert [await parent.hear(), await parent.hear()] == [Alive(1, 2, 3)] * 2
    await parent.end()


async def test_child_ends_soon_even_with_a_stuck_thread() -> None:
    parent = await start_echo()
    parent.load("stuck")
    assert isinstance(await parent.hear(), Alive)
    assert isinstance(await parent.hear(), Loaded)
    started = asyncio.get_running_loop().time()
    await parent.end()
    assert asyncio.get_running_loop().time() - started < 2


async def test_bug_in_a_handler_ends_the_child_without_logging_client_words() -> None:
    parent = await start_echo()
    parent.load("bug")
    assert isinstance(await parent.hear(), Alive)
    assert await parent.hear() == Ending(to_info(ValueError("the client's own words")))
    assert await parent.hear() is None
    assert await parent.end() == 1
    assert parent.process.stderr is not None
    log = (await parent.process.stderr.read()).decode()
    assert "type=ValueError" in log
    assert "own words" not in log


async def test_bytes_that_are_no_frame_end_the_child() -> None:
    parent = await start_echo()
    parent.writer.write(b"\x00\x00\x00\x01\xc1")
    assert isinstance(await parent.hear(), Alive)
    assert isinstance(await parent.hear(), Ending)
    assert await parent.hear() is None
    assert await parent.end() == 1


async def hear_all(parent: Parent, last: type[Message]) -> list[Message]:
    """What the child says, up to the first message of a kind, without the heartbeats."""
    heard: list[Message] = []
    while not (heard and isinstance(heard[-1], last)):
        message = await parent.hear()
        assert message is not None
        heard += [] if isinstance(message, Alive) else [message]
    return heard


async def test_text_and_fake_engine_processes_answer_a_question_together() -> None:
    text = await start("-m", "cortex.engine.text", "--fd")
    engine = await start("-m", "cortex.engine.fake", "--fd")
    turn = Turn("user", (TextPart("Hello"),))
    request = ChatRequest("fake", (turn,), seed=1, now_s=0, max_tokens=1)
    text.say(Prepare("r", _FAKE_DIR, request, 32768))
    engine.say(Load("j", "fake", _FAKE_DIR))
    [prepared] = await hear_all(text, Prepared)
    assert isinstance(prepared, Prepared)
    await hear_all(engine, Loaded)
    engine.say(Generate("fake", (Wanted("r", 1),), prepared.prompt))
    step = (await hear_all(engine, Step))[-1]
    assert isinstance(step, Step)
    assert step.parts[0].finish == "length"
    assert [await text.end(), await engine.end()] == [0, 0]


def resident_pages(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told what to keep")
async def test_the_text_process_keeps_nothing_of_what_large_pictures_took() -> None:
    page = io.BytesIO()
    Image.new("RGB", (6000, 4000)).save(page, "PNG")
    turn = Turn("user", (ImagePart(page.getvalue()),))
    request = ChatRequest("fake", (turn,), seed=1, now_s=0, max_tokens=1)
    text = await start("-m", "cortex.engine.text", "--fd")
    for _ in range(3):
        for request_id in ("a", "b"):
            text.say(Prepare(request_id, _FAKE_DIR, request, 32768))
        for _ in range(2):
            await hear_all(text, Prepared)
    num_pages = resident_pages(text.process.pid)
    assert await text.end() == 0
    assert num_pages * mmap.PAGESIZE < 128 << 20


async def test_what_stands_in_a_picture_beside_its_pixels_is_in_no_log() -> None:
    note = Image.Exif()
    note[_DESCRIPTION_TAG] = "result of J. Doe"
    page = io.BytesIO()
    Image.new("RGB", (64, 64)).save(page, "JPEG", exif=note)
    turn = Turn("user", (ImagePart(page.getvalue()),))
    request = ChatRequest("fake", (turn,), seed=1, now_s=0, max_tokens=1)
    text = await start("-m", "cortex.engine.text", "--log-level", "DEBUG", "--fd")
    text.say(Prepare("r", _FAKE_DIR, request, 32768))
    await hear_all(text, Prepared)
    assert await text.end() == 0
    assert text.process.stderr is not None
    assert b"J. Doe" not in await text.process.stderr.read()


async def test_child_logs_what_we_say_for_debugging_and_not_what_libraries_do() -> None:
    child = await start("-c", _TALKER)
    assert child.process.stderr is not None
    log = (await child.process.stderr.read()).decode().splitlines()
    assert log == ["__main__: ours", "cortex.engine.x: ours", "PIL.x: a warning"]
    assert await child.end() == 1


async def test_poisoned_device_ends_the_process_with_its_reason_and_a_code_of_its_own(
    tmp_path: Path,
) -> None:
    script = tmp_path / "script.json"
    script.write_text('{"harm": {"how": "poison", "at": "load"}}')
    parent = await start("-m", "cortex.engine.fake", "--script", str(script), "--fd")
    parent.say(Load("j", "fake", _FAKE_DIR))
    [ending] = await hear_all(parent, Ending)
    assert isinstance(ending, Ending)
    assert (ending.error.code, "script" in ending.error.message) == ("device_poisoned", True)
    assert await parent.hear() is None
    assert await parent.end() == POISONED_EXIT_CODE
    assert parent.process.stderr is not None
    log = (await parent.process.stderr.read()).decode()
    assert "device poisoned" in log and "Traceback" not in log


async def test_text_process_never_loads_torch() -> None:
    listing = "import sys, cortex.engine.text, cortex.engine.fake; print('torch' in sys.modules)"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        listing,
        env={"PYTHONPATH": str(_ROOT / ".links")},
        stdout=asyncio.subprocess.PIPE,
    )
    assert (await process.communicate())[0] == b"False\n"


async def test_bad_script_ends_the_fake_engine_with_an_explanation(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text("{")
    parent = await start("-m", "cortex.engine.fake", "--script", str(script), "--fd")
    assert await parent.hear() is None
    assert await parent.end() == 2
    assert parent.process.stderr is not None
    assert b"script.json cannot be read" in await parent.process.stderr.read()
