"""Which model answers from now on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from cortex.peer.types import ModelInfo

from ..token_counts import tokens


class ChooseModel(ModalScreen[str | None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back", id="choose.back"),
        Binding("j", "move('cursor_down')", "Down", id="choose.down", show=False),
        Binding("k", "move('cursor_up')", "Up", id="choose.up", show=False),
    ]

    def __init__(self, models: Sequence[ModelInfo], chosen: str | None) -> None:
        super().__init__()
        self._models = tuple(models)
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        width = max((len(model.id) for model in self._models), default=0)
        options = [Option(Text(_words(model, width)), id=None) for model in self._models]
        choice = OptionList(*options, id="choice")
        choice.border_title = "who answers"
        yield choice

    def on_mount(self) -> None:
        ids = [model.id for model in self._models]
        if self._chosen in ids:
            self.query_one(OptionList).highlighted = ids.index(self._chosen)

    @on(OptionList.OptionSelected)
    def _take(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._models[event.option_index].id)

    async def action_move(self, how: str) -> None:
        await self.query_one(OptionList).run_action(how)


def _words(model: ModelInfo, width: int) -> str:
    words = [f"{model.id:<{width}}", f"{tokens(model.context_length):>5} context"]
    words.append("pictures" if model.sees_images else "text    ")
    states = [where.state for where in model.where]
    words += [state for state in ("warm", "loading", "cold") if state in states][:1]
    return "  ".join(words)
