"""`cortex tui`, the program around the screens: a thread reads the feed, and a beat draws.

It stops with its feed and never stops a peer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import ClassVar, Protocol

from textual import on, work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import HelpPanel

from cortex.peer.onlooker.feed import Lost, News

from .acting import Acting
from .frame import Frame
from .look import Look
from .messages import FleetNews
from .screens.framed import FramedScreen
from .screens.numbered import NUMBERED
from .watched import Watched

_SCREENS = Binding.Group("Screens", compact=True)


class Source(Protocol):
    """Where news come from, one after the other; `close` ends them from another thread."""

    def news(self) -> Iterable[News]: ...

    def close(self) -> None: ...


class CortexApp(App[None]):
    """`sought` says in words where peers are looked for."""

    TITLE = "cortex"
    CSS_PATH = "cortex.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(
                screen.key,
                f"go('{screen.id}')",
                screen.name,
                id=f"app.{screen.id}",
                group=_SCREENS,
            )
            for screen in NUMBERED
        ),
        Binding("question_mark", "keys", "Keys", key_display="?", id="app.keys"),
        Binding("q", "quit", "Quit", id="app.quit"),
    ]

    def __init__(
        self,
        source: Source,
        acting: Acting,
        look: Look,
        sought: str,
        now: Callable[[], datetime] = datetime.now,
        chat_model: str | None = None,
    ) -> None:
        super().__init__()
        self.animation_level = "none"
        # Below 60 by 15 characters there is no table to be drawn.
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-fits")]
        self.VERTICAL_BREAKPOINTS = [(0, "-low"), (15, "-is-high-enough")]
        self._source = source
        self._acting = acting
        self._look = look
        self._now = now
        self._watched = Watched(now())
        frame = Frame(look, self._watched, acting, sought, now, chat_model)
        for screen in NUMBERED:
            self.add_mode(screen.id, partial(screen.make, frame))

    async def on_mount(self) -> None:
        self.set_class(self._look.is_ascii, "-ascii")
        await self.switch_mode(NUMBERED[0].id)
        self.set_interval(self._look.refresh_s, self._beat)
        self._read()

    def on_unmount(self) -> None:
        self._source.close()
        self._acting.close()

    @work(thread=True)
    def _read(self) -> None:
        for news in self._source.news():
            self.post_message(FleetNews(news))

    @on(FleetNews)
    def _hear(self, message: FleetNews) -> None:
        """The first sight, a loss and its end are drawn at once; all else waits for the beat."""
        is_news = self._watched.picture is None or self._watched.lost is not None
        self._watched.hear(message.news, self._now())
        if is_news or isinstance(message.news, Lost):
            self._draw()

    def _beat(self) -> None:
        for screen in self._visible():
            screen.on_beat()
        self._draw()

    def _draw(self) -> None:
        for screen in self._visible():
            screen.draw()

    def _visible(self) -> list[FramedScreen]:
        """The top screen, and what is seen through it."""
        seen: list[FramedScreen] = []
        for screen in reversed(self.screen_stack):
            if isinstance(screen, FramedScreen):
                seen.append(screen)
            if not isinstance(screen, ModalScreen):
                break
        return seen

    def action_go(self, id: str) -> None:
        self.switch_mode(id)

    def action_keys(self) -> None:
        if self.screen.query(HelpPanel):
            self.action_hide_help_panel()
        else:
            self.action_show_help_panel()
