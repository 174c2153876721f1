"""A dashboard whose news come from the test, and whose clock the test turns."""

from __future__ import annotations

import os
import queue
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from cortex.peer.errors import NoPeer
from cortex.peer.onlooker.asking import Sight
from cortex.peer.onlooker.feed import Lost, News, Seen
from cortex.peer.onlooker.happenings import Happening
from cortex.peer.onlooker.pictures import read_picture
from cortex.tui.acting import Acting, ReadOnly
from cortex.tui.app import CortexApp
from cortex.tui.options import DEFAULT_THEME, Options
from tests.tui.screens.talking import Chat, FakePeer
from tests.tui.told import MOMENT


class FakeFeed:
    """Gives what the test puts into it."""

    def __init__(self) -> None:
        self.is_closed = False
        self._news: queue.SimpleQueue[News | None] = queue.SimpleQueue()

    def say(
        self,
        told: dict[str, Any],
        address: str = "127.0.0.1:13131",
        happened: str = "",
        at: datetime = MOMENT,
    ) -> None:
        one = Happening(at.timestamp(), "atlas", "unloaded", "m", happened)
        self._news.put(Seen(address, Sight(told, read_picture(told), one if happened else None)))

    def lose(self, address: str | None = "127.0.0.1:13131", retry_s: float = 2.0) -> None:
        self._news.put(Lost(address, NoPeer(f"no peer answers at {address}"), retry_s))

    def news(self) -> Generator[News]:
        while (news := self._news.get()) is not None:
            yield news

    def close(self) -> None:
        self.is_closed = True
        self._news.put(None)


class _Answered:
    """Answers are the test's, by what is asked; an error among them is raised."""

    def __init__(self) -> None:
        super().__init__(lambda: [])  # type: ignore[call-arg]
        self.orders: list[tuple[str, str, Any]] = []
        self.answers: dict[str, Any] = {}
        self.is_closed = False

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        self.orders.append((method, path, body))
        answer = self.answers.get(f"{method} {path}", {})
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.is_closed = True


class FakeActing(_Answered, Acting): ...


class FakeReadOnly(_Answered, ReadOnly): ...


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 14, 2, 31).astimezone()

    def __call__(self) -> datetime:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def feed() -> FakeFeed:
    return FakeFeed()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def acting() -> FakeActing:
    return FakeActing()


@pytest.fixture
def read_only() -> FakeReadOnly:
    """In the place of `acting`: looks on, and orders nothing."""
    return FakeReadOnly()


@pytest.fixture
def make_app(feed: FakeFeed, clock: Clock, acting: FakeActing) -> Callable[..., CortexApp]:
    """With a beat that does not come by itself in the time of a test."""

    def make(
        acting: Acting = acting, refresh_s: float = 1000.0, before: Any = None, **options: Any
    ) -> CortexApp:
        return CortexApp(feed, acting, Options("borea:13131", refresh_s, **options), clock, before)

    return make


@pytest.fixture
def before(clock: Clock, told: Any) -> tuple[Sight, datetime]:
    """The fleet of four, as it was some minutes ago."""
    seen = told.four_peers()
    return Sight(seen, read_picture(seen)), clock.now - timedelta(minutes=3)


async def _until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    """The feed speaks from another thread."""
    for _ in range(500):
        await pilot.pause(0.01)
        if condition():
            return
    raise AssertionError(_screen(pilot))


def _screen(pilot: Pilot[None]) -> str:
    """All that can be read, line by line."""
    app = pilot.app
    lines = app.screen._compositor.render_strips(app.size)  # pyright: ignore[reportPrivateUsage]
    return "\n".join("".join(segment.text for segment in line) for line in lines)


def _shown(pilot: Pilot[None], selector: str) -> str:
    return str(pilot.app.screen.query_one(selector, Static).content)


@pytest.fixture
def eyes() -> Any:
    """What stands on the screen, and waiting for it."""
    return SimpleNamespace(until=_until, screen=_screen, shown=_shown)


@pytest.fixture
def opened(feed: FakeFeed, told: Any, acting: FakeActing) -> Any:
    """`await opened(pilot, "2", "words")`: the screen of that key, as soon as those words stand on
    it. The fleet of four answers what the test does not.
    """

    async def open(pilot: Pilot[None], key: str, words: str) -> None:
        for answers in (told.some_models(), told.some_requests()):
            if not answers.keys() & acting.answers.keys():
                acting.answers |= answers
        feed.say(told.four_peers())
        await pilot.press(key)
        await _until(pilot, lambda: words in _screen(pilot))

    return open


@pytest.fixture
def peer(acting: Any) -> FakePeer:
    fake = FakePeer()

    @asynccontextmanager
    async def talk(on_moved: Callable[[str], None]) -> AsyncGenerator[FakePeer]:
        fake.on_moved = on_moved
        yield fake

    acting.talk = talk
    return fake


@pytest.fixture
def chat(make_app: Any, feed: Any, told: Any, eyes: Any, peer: FakePeer) -> Chat:
    """The chat screen of a dashboard that has seen its fleet."""

    @asynccontextmanager
    async def open_chat(
        size: tuple[int, int] = (80, 24), **options: Any
    ) -> AsyncGenerator[Pilot[None]]:
        async with make_app(**options).run_test(size=size) as pilot:
            feed.say(told.fleet([told.peer("atlas", api=FakePeer.name)]))
            await eyes.until(pilot, lambda: "atlas" in eyes.screen(pilot))
            await pilot.press("4")
            await eyes.until(pilot, lambda: "Ask about" in eyes.screen(pilot))
            yield pilot

    return open_chat


_PICTURES = Path(__file__).parent / "pictures"


@dataclass(frozen=True, slots=True)
class Dress:
    """How a dashboard may look: `start` opens one."""

    name: str
    start: Callable[[], AbstractAsyncContextManager[Pilot[None]]]


@pytest.fixture(params=["80x24", "120x40", "light", "ascii"])
def dress(request: pytest.FixtureRequest, make_app: Callable[..., CortexApp]) -> Dress:
    size = (120, 40) if request.param == "120x40" else (80, 24)
    theme = "cortex-light" if request.param == "light" else DEFAULT_THEME
    app = make_app(is_ascii=request.param == "ascii", theme=theme)
    return Dress(request.param, lambda: app.run_test(size=size))


@pytest.fixture
def looks_like(tmp_path: Path) -> Any:
    """`await looks_like(pilot, "name")`: the screen, cell by cell, is the picture of that name.

    With WRITE_PICTURES=1 in the environment the pictures are written instead: then look at them.
    """

    async def compare(pilot: Pilot[None], name: str) -> None:
        for field in pilot.app.screen.query(Input):
            field.cursor_blink = False
        await pilot.pause()
        if name.endswith("-ascii"):
            assert _screen(pilot).isascii(), _screen(pilot)
        svg = pilot.app.export_screenshot(title=name)
        picture = _PICTURES / f"{name}.svg"
        if os.environ.get("WRITE_PICTURES"):
            picture.write_text(svg)
        elif not picture.exists() or picture.read_text() != svg:
            now = tmp_path / picture.name
            now.write_text(svg)
            raise AssertionError(f"{now} is not as {picture}; it reads:\n{_screen(pilot)}")

    return compare
