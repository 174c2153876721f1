"""Peers with the fake engine: real child processes or children in memory; no weights, port 0."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import socket
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cortex.engine.child import Send, Service, serve
from cortex.engine.fake import FakeConfig, FakeService
from cortex.engine.messages import Count, Generate, Load, Message, Prepare, Step
from cortex.engine.text import TextService
from cortex.engine.types import TextPart
from cortex.peer.catalogue import embedded_dir
from cortex.peer.config import Locations, PeerConfig
from cortex.peer.gossip.records import Address
from cortex.peer.link import open_link
from cortex.peer.process import ChildProcess

MakeConfig = Callable[..., PeerConfig]


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    """A config of a peer that touches nothing outside the test's folder."""

    def make(**changes: Any) -> PeerConfig:
        places = Locations(tmp_path / "data", tmp_path / "state", tmp_path / "run")
        fields: dict[str, Any] = {"locations": places, "engine": "fake", "port": 0} | changes
        return PeerConfig(**fields)

    return make


@pytest.fixture
def write_script(tmp_path: Path) -> Callable[..., Path]:
    """A script for the fake engine, by its replies."""

    def write(*replies: str) -> Path:
        path = tmp_path / "script.json"
        path.write_text(json.dumps({"replies": list(replies)}), encoding="utf-8")
        return path

    return write


@pytest.fixture
def write_harm(tmp_path: Path) -> Callable[..., Path]:
    """A script for the fake engine that comes to harm."""

    def write(**harm: Any) -> Path:
        path = tmp_path / "harm.json"
        path.write_text(json.dumps({"harm": harm}), encoding="utf-8")
        return path

    return write


@pytest.fixture
def black_hole() -> Iterator[Address]:
    """An address where connections neither come about nor fail: its queue of them is full."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        place = Address(*listening.getsockname())
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((place.ip, place.port))
        yield place


@pytest.fixture
def png() -> bytes:
    """A grey picture, 64 pixels wide and 32 high."""
    rows = b"".join(b"\x00" + b"\x80" * 64 for _ in range(32))

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", 64, 32, 8, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture
def png_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


@pytest.fixture
def make_models(tmp_path: Path, make_config: MakeConfig) -> Callable[..., Path]:
    """A folder of fake models under new names; `blind` ones have no preprocessor."""

    def make(*names: str, blind: bool = False) -> Path:
        root = tmp_path / "models"
        for name in names:
            shutil.copytree(embedded_dir(make_config()), root / name)
            if blind:
                (root / name / "preprocessor_config.json").unlink()
        return root

    return make


class MemoryProcess:
    """A child that lives in this process, and looks like one of its own."""

    _pids = itertools.count(1)

    def __init__(self) -> None:
        self.pid = next(self._pids)
        self.life: asyncio.Task[None] | None = None
        self._code = 0

    def kill(self) -> None:
        self._code = -9
        assert self.life is not None
        self.life.cancel()

    async def wait(self) -> int:
        assert self.life is not None
        await asyncio.wait({self.life})
        return self._code


class MemoryChildren:
    """Starts children in memory, over real sockets. `lives` says how long engines live.

    A number is how many messages an engine says before it is gone; "mute" is one that hears
    nothing; when the lives have been used up, engines live on. A text process dies of every prompt
    that holds a word of `bombs`, each of which goes off once.
    """

    def __init__(
        self,
        lives: Iterable[int | str] = (),
        *,
        fake: FakeConfig | None = None,
        bombs: Iterable[str] = (),
        is_haunted: bool = False,
    ) -> None:
        self.engines: list[MemoryProcess] = []
        self.texts: list[MemoryProcess] = []
        self.heard: list[Message] = []
        self._lives = deque(lives)
        self._fake = fake or FakeConfig()
        self._bombs = list(bombs)
        self._is_haunted = is_haunted

    async def spawn(self, command: Sequence[str]) -> ChildProcess:
        process = MemoryProcess()
        is_text = "cortex.engine.text" in command
        (self.texts if is_text else self.engines).append(process)
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=theirs)
        make = self._text if is_text else self._engine
        process.life = asyncio.create_task(serve(reader, writer, lambda send: make(process, send)))
        return ChildProcess(process, await open_link(ours))

    def _engine(self, process: MemoryProcess, send: Send) -> Service:
        life = self._lives.popleft() if self._lives else None
        num_said = 0

        def say(message: Message) -> None:
            nonlocal num_said
            num_said += 1
            if isinstance(life, int) and num_said > life:
                process.kill()
                return
            if self._is_haunted and isinstance(message, Step):
                send(Step(tuple(replace(part, epoch=part.epoch - 1) for part in message.parts)))
            send(message)

        service = FakeService(self._fake, say)
        handle = service.handle

        async def hear(message: Message) -> None:
            self.heard.append(message)
            if life != "mute":
                await handle(message)

        service.handle = hear
        return service

    def _text(self, process: MemoryProcess, send: Send) -> Service:
        service = TextService(send)
        handle = service.handle

        async def hear(message: Message) -> None:
            text = _text_of(message) if isinstance(message, Prepare | Count) else ""
            bomb = next((bomb for bomb in self._bombs if bomb in text), None)
            if bomb is None:
                await handle(message)
            else:
                self._bombs.remove(bomb)
                process.kill()

        service.handle = hear
        return service

    @property
    def generates(self) -> list[Generate]:
        return [message for message in self.heard if isinstance(message, Generate)]

    @property
    def num_loads(self) -> int:
        return sum(isinstance(message, Load) for message in self.heard)


def _text_of(asked: Prepare | Count) -> str:
    parts = (part for turn in asked.request.messages for part in turn.content)
    return "".join(part.text for part in parts if isinstance(part, TextPart))


@pytest.fixture
def memory_children() -> type[MemoryChildren]:
    return MemoryChildren
