"""How often an answer that grows is drawn."""

from __future__ import annotations

from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.widgets import Static

from cortex.engine.stream import Piece, TextDelta
from cortex.tui.look import Look
from cortex.tui.widgets.turns import AnswerTurn


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(("drawing_s", "idle_s"), [(0.1, 0.5), (30.0, 1.0)])
async def test_an_answer_that_takes_long_to_draw_is_drawn_less_often_but_each_second(
    monkeypatch: pytest.MonkeyPatch, drawing_s: float, idle_s: float
) -> None:
    clock, drawn = Clock(), list[str]()
    update = Static.update

    def slowly(widget: Static, content: Any = "", **options: Any) -> None:
        if widget.has_class("text") and "word" in str(content):
            drawn.append(str(content))
            clock.now_s += drawing_s
        update(widget, content, **options)

    monkeypatch.setattr(Static, "update", slowly)

    turn = AnswerTurn("m", Look(), clock)

    class Shown(App[None]):
        def compose(self) -> ComposeResult:
            yield turn

    async with Shown().run_test() as pilot:
        await pilot.pause()
        for number in range(3):
            turn.take(Piece((TextDelta(f"word {number} "),)))
            turn.draw()
            await pilot.pause()
        assert drawn == ["word 0 "]
        clock.now_s += idle_s - 0.05
        turn.draw()
        assert len(drawn) == 1
        clock.now_s += 0.1
        turn.draw()
        assert drawn == ["word 0 ", "word 0 word 1 word 2 "]
