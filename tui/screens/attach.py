"""A picture to send along: which file, what it looks like, what it costs.

The name goes on with the tabulator. What the model will make of the picture is asked of the peer;
the drawing is made here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from cortex.engine.errors import CortexError
from cortex.engine.types import ImagePart
from cortex.peer.talk.paths import completed, leads_to_file, names_in, path_completions
from cortex.peer.talk.pictures import read_picture

from ..frame import Frame
from ..image import Drawing, draw_picture
from .modal import Modal

_ROWS = 14
_MOST_NAMES = 6


@dataclass(frozen=True, slots=True)
class Attached:
    """`words` are its name, its size and its cost, as far as they are known."""

    picture: ImagePart
    words: str


class AttachScreen(Modal[Attached | None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back", id="attach.back"),
        Binding("tab", "complete", "Complete", id="attach.complete", priority=True),
    ]

    def __init__(self, frame: Frame, name: str, model: str | None) -> None:
        super().__init__()
        self._frame = frame
        self._begun = name
        self._model = model
        self._found: Attached | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="attach") as panel:
            panel.border_title = "attach a picture"
            panel.border_subtitle = "tab completes, enter attaches, esc goes back"
            yield Input(self._begun, placeholder="the file's name", id="name", compact=True)
            yield Static(id="names", markup=False)
            yield Static(id="preview")
            yield Static(id="cost", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._look(self._begun)

    def action_complete(self) -> None:
        field = self.query_one(Input)
        field.value = completed(field.value)
        field.cursor_position = len(field.value)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        self._look(event.value)

    @on(Input.Submitted)
    def _take(self) -> None:
        if self._found is not None:
            self.dismiss(self._found)
        elif self.query_one(Input).value.strip():
            self._say_why_not()

    @work(exclusive=True)
    async def _look(self, typed: str) -> None:
        """What the name leads to by now; a later letter ends this."""
        self._found = None
        for id in ("#preview", "#cost"):
            self.query_one(id, Static).update("")
        name = typed.strip() and names_in(typed.strip())[0]
        self._show_names(typed, await asyncio.to_thread(path_completions, typed))
        if not name or not await asyncio.to_thread(leads_to_file, name):
            return
        try:
            picture = await asyncio.to_thread(read_picture, name, None)
        except CortexError as error:
            self._say(error)
            return
        columns, rows = self.size.width - 8, min(_ROWS, self.size.height - 10)
        drawing = await asyncio.to_thread(draw_picture, picture.data, columns, rows)
        self._show(picture, drawing)
        await self._weigh(picture, drawing)

    def _show_names(self, typed: str, names: Sequence[str]) -> None:
        shown = [Path(name).name + "/" * name.endswith("/") for name in names if name != typed]
        more = f"  and {len(shown) - _MOST_NAMES} more" if len(shown) > _MOST_NAMES else ""
        self.query_one("#names", Static).update("  ".join(shown[:_MOST_NAMES]) + more)

    def _show(self, picture: ImagePart, drawing: Drawing | None) -> None:
        preview = self.query_one("#preview", Static)
        if drawing is None or self._frame.look.is_ascii:
            preview.update(Text("no preview", style="dim"))
        else:
            preview.update(drawing.text)
        self._found = Attached(picture, _words(picture, drawing, None))
        self.query_one("#cost", Static).update(self._found.words)

    async def _weigh(self, picture: ImagePart, drawing: Drawing | None) -> None:
        try:
            async with self._frame.acting.talk(lambda _: None) as asked:
                model = self._model or next(
                    (model.id for model in await asked.models() if model.sees_images), None
                )
                if model is None:
                    self.query_one("#cost", Static).update("no model of this fleet sees pictures")
                    return
                num_tokens = await asked.picture_tokens(model, picture.data)
        except CortexError as error:
            self._say(error)
            return
        self._found = Attached(picture, _words(picture, drawing, num_tokens))
        self.query_one("#cost", Static).update(self._found.words)

    @work
    async def _say_why_not(self) -> None:
        try:
            await asyncio.to_thread(read_picture, self.query_one(Input).value.strip(), None)
        except CortexError as error:
            self._say(error)

    def _say(self, error: CortexError) -> None:
        words = ". ".join(filter(None, (error.message.removesuffix("."), error.hint)))
        self.query_one("#cost", Static).update(words)


def _words(picture: ImagePart, drawing: Drawing | None, num_tokens: int | None) -> str:
    words = [picture.name]
    if drawing is not None:
        words.append(f"{drawing.width}x{drawing.height}")
    if num_tokens is not None:
        words.append(f"{num_tokens:,} tokens")
    return "  ".join(words)
