"""The two sides of a conversation, as widgets: what a person said, and what was answered.

An answer that grows is drawn ten times a second at most, as plain text, and a long one, which takes
its time to draw, less often: keys come first. As Markdown it is drawn once, when it is whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.timer import Timer
from textual.widgets import Markdown, Static

from cortex.engine.stream import Accepted, Event, Stage
from cortex.peer.talk.answer import Answer, Arriving
from cortex.peer.talk.markdown import with_line_breaks
from cortex.peer.talk.plain import without_controls
from cortex.peer.talk.words import Pace, figures, in_short

from ..look import Look

DRAW_S = 0.1
# So much of the time is left for other things, but no longer: drawing was slow for once.
_IDLE_TO_DRAWING = 5
_MOST_IDLE_S = 1.0


class AskedTurn(Vertical):
    """What a person said, and which pictures went with it."""

    def __init__(self, prompt: str, pictures: Sequence[str]) -> None:
        super().__init__(classes="turn")
        self._prompt = without_controls(prompt)
        self._pictures = tuple(pictures)

    def compose(self) -> ComposeResult:
        yield Static(Text("you"), classes="who")
        with Vertical(classes="said"):
            for name in self._pictures:
                yield Static(Text(f"[{name}]", style="dim"), classes="picture")
            yield Static(Text(self._prompt))

    def see(self, pictures: Sequence[str]) -> None:
        """What the model sees of the pictures, as soon as that is told."""
        for shown, words in zip(self.query(".picture").results(Static), pictures, strict=False):
            shown.update(Text(f"[{words}]", style="dim"))


class NoteTurn(Static):
    """Something that happened between turns."""

    def __init__(self, words: str) -> None:
        super().__init__(Text(words, style="dim"), classes="note")


class _AsciiMarkdown(Markdown):
    """Its lines are those of `talk.tcss`."""

    BULLETS: ClassVar[list[str]] = ["* ", "- ", "+ "]


class AnswerTurn(Vertical):
    """An answer from its first stage to its end. `clock` is monotonic."""

    def __init__(self, model: str, look: Look, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(classes="turn")
        self.arriving = Arriving(asked_s=clock())
        self._model = model
        self._look = look
        self._clock = clock
        self._pace = Pace()
        self._wait = "asking"
        self._num_thoughts: int | None = None
        self._shows_thoughts = False
        self._is_stale = False
        self._next_draw_s = 0.0
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Static(Text(_short(self._model)), classes="who")
        with Vertical(classes="said"):
            yield Static(classes="thoughts")
            yield Static(classes="text")
            yield Static(classes="figures")

    def on_mount(self) -> None:
        self.query_one(".figures").display = False
        self._timer = self.set_interval(DRAW_S, self.draw)
        self._draw_now()

    def be_of(self, model: str) -> None:
        self._model = model
        self.query_one(".who", Static).update(Text(_short(model)))

    def take(self, event: Event) -> None:
        self.arriving.take(event, self._clock)
        match event:
            case Stage():
                self._wait = in_short(event, self._model, self._pace.per_s(event, self._clock()))
            case Accepted():
                self._wait = f"reading {event.prompt_tokens:,} tokens"
            case _:
                pass
        self._is_stale = True

    @property
    def text(self) -> str:
        return without_controls("".join(self.arriving.texts))

    def draw(self) -> None:
        if self._is_stale and self._clock() >= self._next_draw_s and self.screen.is_current:
            self._draw_now()

    async def finish(self, answer: Answer, peer: str) -> None:
        """The end, whole or not: what came stays."""
        self._stop()
        self._num_thoughts = answer.reasoning_tokens
        self._draw_now()
        growing = self.query_one(".text", Static)
        if self.text:
            drawn = _AsciiMarkdown if self._look.is_ascii else Markdown
            whole = drawn(with_line_breaks(self.text), open_links=False)
            await self.query_one(".said").mount(whole, after=growing)
            growing.display = False
        else:
            growing.update("")
        words = self._look.dot.join((f"through {peer}", *figures(answer)))
        self._end_with(Text(words, style="dim"))

    def fail(self, words: str) -> None:
        self._stop()
        self._draw_now()
        if not self.text:
            self.query_one(".text").display = False
        self._end_with(Text(words, style=self._look.tones.needs_you))

    def _end_with(self, words: Text) -> None:
        line = self.query_one(".figures", Static)
        line.update(words)
        line.display = True

    def toggle_thoughts(self) -> None:
        self._shows_thoughts = not self._shows_thoughts
        self._draw_thoughts()

    def on_click(self) -> None:
        if self.arriving.thoughts:
            self.toggle_thoughts()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.stop()

    def _draw_now(self) -> None:
        self._is_stale = False
        began_s = self._clock()
        self.call_after_refresh(self._rest, began_s)
        self._draw_thoughts()
        growing = self.query_one(".text", Static)
        if self.arriving.texts:
            growing.update(Text(self.text))
        else:
            thinks = bool(self.arriving.thoughts)
            growing.update(Text("" if thinks else f"{self._wait} ...", style="dim"))

    def _rest(self, began_s: float) -> None:
        """Once all is laid out and drawn."""
        now_s = self._clock()
        self._next_draw_s = now_s + min(_IDLE_TO_DRAWING * (now_s - began_s), _MOST_IDLE_S)

    def _draw_thoughts(self) -> None:
        """One line with their number, and below it what they are, where that is wished."""
        line, thoughts = self.query_one(".thoughts", Static), self.arriving.thoughts
        line.display = bool(thoughts)
        if not thoughts:
            return
        # Until their number is told, a piece of them counts as a token.
        number = len(thoughts) if self._num_thoughts is None else self._num_thoughts
        shown = f"{'thought' if self.arriving.texts else 'thinking'}, {number:,} tokens"
        if self._shows_thoughts:
            shown += f"\n{without_controls(''.join(thoughts))}"
        line.update(Text(shown, style="dim"))


def _short(model: str) -> str:
    """As much of a name as stands beside an answer."""
    return model.partition("-")[0][:9]
