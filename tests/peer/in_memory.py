"""Peers whose children live in this process: the same messages over real sockets, no start-up.

What is told of a peer by its API is the same with real children, which `test_api.py` has; where
they are started, lost and ended is `test_node.py`'s and `test_replaced_engine.py`'s to show.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from aiohttp import ClientSession
from msgspec import structs

from cortex.engine.child import Send, Service, serve
from cortex.engine.fake import FakeConfig, FakeService, read_script
from cortex.engine.messages import Count, Estimated, Generate, Load, Message, Prepare, Step, Wanted
from cortex.engine.text import TextService
from cortex.engine.types import TextPart
from cortex.peer.children.link import open_link
from cortex.peer.children.process import ChildProcess
from cortex.peer.config import PeerConfig
from cortex.peer.serving.server import Server
from cortex.peer.serving.server import serving as serving_with

# Of any peer, whatever its children are.
DEADLINE_S = 30


@asynccontextmanager
async def http(server: Server) -> AsyncGenerator[ClientSession]:
    """A client of this peer, for so long and no longer."""
    async with (
        asyncio.timeout(DEADLINE_S),
        ClientSession(f"http://{server.address}") as session,
    ):
        yield session


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that a peer does by itself."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - the peer has no event to wait for
            await asyncio.sleep(0.005)


def serving(config: PeerConfig) -> AbstractAsyncContextManager[Server]:
    """A peer on its port, whose fake engine does as the config wants.

    Its children are processes where one of them is to come to harm.
    """
    fake = read_script(config.fake_script) if config.fake_script else FakeConfig()
    if config.fake_token_interval_ms:
        fake = replace(fake, token_interval_ms=config.fake_token_interval_ms)
    if fake.harm is not None:
        return serving_with(config)
    return serving_with(config, MemoryChildren(fake=fake).spawn)


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
        num_said, has_estimated = 0, False

        def say(message: Message) -> None:
            nonlocal num_said, has_estimated
            # A survey may ask again what a load is asking: that is no sooner an end.
            is_again = isinstance(message, Estimated) and has_estimated
            has_estimated = has_estimated or isinstance(message, Estimated)
            num_said += not is_again
            if isinstance(life, int) and num_said > life:
                process.kill()
                return
            if self._is_haunted and isinstance(message, Step):
                send(
                    Step(
                        tuple(structs.replace(part, epoch=part.epoch - 1) for part in message.parts)
                    )
                )
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
    def wanted(self) -> list[Wanted]:
        """The answers that engines were asked for."""
        return [wanted for generate in self.generates for wanted in generate.wanted]

    @property
    def num_loads(self) -> int:
        return sum(isinstance(message, Load) for message in self.heard)


def _text_of(asked: Prepare | Count) -> str:
    parts = (part for turn in asked.request.messages for part in turn.content)
    return "".join(part.text for part in parts if isinstance(part, TextPart))


def node_of_none(_certificate: object) -> None:
    """Of a peer that is reached by nobody of its fleet."""
