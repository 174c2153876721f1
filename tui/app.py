"""`cortex tui`, the program around the screens: a thread reads the feed, and a beat draws.

It stops with its feed and never stops a peer.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import ClassVar, Protocol

from textual import on, work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.command import CommandPalette
from textual.dom import DOMNode
from textual.events import DeliveryComplete, DeliveryFailed
from textual.screen import ModalScreen, Screen
from textual.theme import Theme
from textual.timer import Timer

from cortex.peer.onlooker.asking import Sight
from cortex.peer.onlooker.feed import Lost, News

from . import palette
from .acting import Acting
from .frame import Frame
from .look import Look
from .messages import FleetNews
from .moments import local_now
from .mouse import Mouse
from .options import FASTEST_S, SLOWEST_S, Options
from .screens.fleet import SIDE_CELLS
from .screens.framed import FramedScreen
from .screens.keys_list import KeysList, lines_of
from .screens.numbered import NUMBERED
from .screens.table_screen import TableScreen
from .themes import OWN_THEMES, tones_of
from .watched import Watched
from .widgets.keys_line import LAST, SCREENS


class Source(Protocol):
    """Where news come from, one after the other; `close` ends them from another thread."""

    def news(self) -> Iterable[News]: ...

    def close(self) -> None: ...


class CortexApp(App[None]):
    TITLE = "cortex"
    CSS_PATH: ClassVar = ["cortex.tcss", "talk.tcss"]
    COMMANDS: ClassVar = {palette.Offers}
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(
                screen.key,
                f"go('{screen.id}')",
                screen.name,
                id=f"app.{screen.id}",
                group=Binding.Group(SCREENS),
            )
            for screen in NUMBERED
        ),
        Binding("plus", "pace(0.5)", "Faster", key_display="+", id="app.faster", show=False),
        Binding("minus", "pace(2.0)", "Slower", key_display="-", id="app.slower", show=False),
        Binding("m", "mouse", "Mouse on or off", id="app.mouse", show=False),
        Binding("ctrl+p", "command_palette", "Palette", id="app.palette", show=False),
        Binding(
            "question_mark",
            "keys",
            "Keys",
            key_display="?",
            id="app.keys",
            group=Binding.Group(LAST),
        ),
        Binding("q", "quit", "Quit", id="app.quit", group=Binding.Group(LAST)),
    ]

    def __init__(
        self,
        source: Source,
        acting: Acting,
        options: Options,
        now: Callable[[], datetime] = local_now,
        before: tuple[Sight, datetime] | None = None,
    ) -> None:
        """What was seen `before`, and when, is shown until a peer answers."""
        super().__init__()
        self.animation_level = "none"
        # Below 60 by 15 characters there is no table to be drawn.
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-fits"), (2 * SIDE_CELLS, "-side")]
        self.VERTICAL_BREAKPOINTS = [(0, "-low"), (15, "-is-high-enough")]
        self._source = source
        self._options = options
        self._mouse = Mouse(is_taken=options.has_mouse)
        self._refresh_s = options.refresh_s
        self._timer: Timer | None = None
        sight, seen = before or (None, None)
        watched = Watched(now(), sight, seen)
        look = Look(options.is_ascii)
        self.frame = Frame(look, watched, acting, options.sought, now, options.chat_model)
        for screen in NUMBERED:
            self.add_mode(screen.id, partial(screen.make, self.frame))
        for theme in OWN_THEMES.values():
            self.register_theme(theme)
        self.theme = options.theme
        self.set_keymap(options.keys)

    async def on_mount(self) -> None:
        self.set_class(self.frame.look.is_ascii, "-ascii")
        self.theme_changed_signal.subscribe(self, self._wear)
        self._wear(self.current_theme)
        await self.switch_mode(NUMBERED[0].id)
        self._timer = self.set_interval(self._refresh_s, self._beat)
        self._read()

    def on_unmount(self) -> None:
        self._source.close()
        self.frame.acting.close()

    @work(thread=True)
    def _read(self) -> None:
        for news in self._source.news():
            self.post_message(FleetNews(news))

    @on(FleetNews)
    def _hear(self, message: FleetNews) -> None:
        """The first sight, a loss and its end are drawn at once; all else waits for the beat."""
        watched = self.frame.watched
        is_news = not watched.is_fresh
        watched.hear(message.news, self.frame.now())
        if is_news or isinstance(message.news, Lost):
            self._draw()

    def _beat(self) -> None:
        self.frame.watched.beat()
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

    def _wear(self, theme: Theme) -> None:
        self.frame.look = replace(self.frame.look, tones=tones_of(theme))
        self._draw()

    def get_key_display(self, binding: Binding) -> str:
        """Keys by name: there are consoles, and readers aloud, that lack their signs."""
        shown = super().get_key_display(binding)
        return shown if shown.isascii() else binding.key

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        yield from palette.actions(self, screen)
        yield SystemCommand("Theme", "other colours", self.action_change_theme)
        yield SystemCommand("Screenshot", "this screen as an SVG file", self.deliver_screenshot)
        picture = self.frame.watched.picture
        if picture is not None:
            yield SystemCommand("Export JSON", "what the peer tells of the fleet", self._export)
            has_models = any(screen.id == "models" for screen in NUMBERED)
            yield from palette.names(picture, self._go_to, with_models=has_models)

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:
        for binding in clashed_bindings:
            words = f"the key of {binding.id} has another meaning in [keys]: it has none now"
            self.notify(words, severity="warning", markup=False)

    async def action_go(self, id: str) -> None:
        await self.switch_mode(id)

    def action_command_palette(self) -> None:
        if not isinstance(self.screen, CommandPalette):
            self.push_screen(CommandPalette(placeholder="an action, a peer, a model"))

    def action_keys(self) -> None:
        self.push_screen(KeysList(lines_of(self, self.screen)))

    def action_pace(self, factor: float) -> None:
        self._refresh_s = min(max(self._refresh_s * factor, FASTEST_S), SLOWEST_S)
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_interval(self._refresh_s, self._beat)
        self.notify(f"drawn every {self._refresh_s:g} s")

    def action_mouse(self) -> None:
        self._mouse.toggle(self)
        taken = "clicks and scrolls" if self._mouse.is_taken else "selects text of the terminal"
        self.notify(f"the mouse {taken}")

    async def _go_to(self, screen_id: str, name: str) -> None:
        """A row by what it is called, on the screen that has it."""
        await self.switch_mode(screen_id)
        if isinstance(self.screen, TableScreen):
            self.screen.choose(name)

    def _export(self) -> None:
        sight = self.frame.watched.sight
        text = io.StringIO(json.dumps(sight.told if sight is not None else None, indent=2))
        name = f"cortex-fleet-{self.frame.now():%Y%m%d-%H%M%S}.json"
        self.deliver_text(text, save_filename=name)

    @on(DeliveryComplete)
    def _say_where(self, event: DeliveryComplete) -> None:
        if event.path is not None:
            self.notify(f"written: {event.path}", markup=False)

    @on(DeliveryFailed)
    def _say_why(self, event: DeliveryFailed) -> None:
        self.notify(f"not written: {event.exception}", severity="error", markup=False)
