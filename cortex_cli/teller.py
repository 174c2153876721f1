"""Shows one answer while it arrives: the text on standard output, all else on standard error.

It decides what is shown where; what an answer is, it leaves to `answer`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cortex.engine.stream import Accepted, Stage
from cortex.engine.types import ImagePart
from cortex.peer.talk.answer import Answer
from cortex.peer.talk.plain import without_controls
from cortex.peer.talk.words import describe_picture, figures, pictures_of_this_turn
from cortex.peer.units import rounded

from .diagnostics import Diagnostics
from .output import Output
from .progress import ProgressLine
from .rendering import replacement

Form = Literal["plain", "raw", "json"]


@dataclass(frozen=True, slots=True)
class Rendering:
    """How an answer that has ended is shown anew on a terminal of a size that is asked for."""

    size: Callable[[], os.terminal_size]
    has_colour: bool


@dataclass(slots=True)
class Teller:
    """A `Listener`. `plain` is for people, `raw` is the model's text alone, `json` one object.

    Without a `rendering` an answer stays as it was streamed.
    """

    output: Output
    diagnostics: Diagnostics
    progress: ProgressLine
    form: Form
    pictures: Sequence[ImagePart]
    hides_reasoning: bool = False
    rendering: Rendering | None = None
    is_in_text: bool = field(default=False, init=False)
    _is_in_reasoning: bool = field(default=False, init=False)
    _num_notices_before: int = field(default=0, init=False)
    _size_before: os.terminal_size | None = field(default=None, init=False)

    def waiting(self, stage: Stage) -> None:
        # A line that is drawn and erased would take half a line of the answer with it.
        if not self.is_in_text and not self._is_in_reasoning:
            self.progress.show(stage)

    def accepted(self, accepted: Accepted) -> None:
        self.progress.clear()
        if self.form != "raw":
            names = [picture.name for picture in self.pictures]
            for name, seen in pictures_of_this_turn(names, accepted.images):
                self.diagnostics.line(describe_picture(name, seen))

    def reasoning(self, piece: str) -> None:
        """For a person to watch, and for nobody else."""
        if self.form == "plain" and self.diagnostics.is_terminal and not self.hides_reasoning:
            self.progress.clear()
            self.diagnostics.aside(without_controls(piece))
            self._is_in_reasoning = True

    def text(self, piece: str) -> None:
        self.progress.clear()
        self._leave_reasoning()
        if self.form != "json":
            if self.rendering is not None and not self.is_in_text:
                self._size_before = self.rendering.size()
                self._num_notices_before = self.diagnostics.num_notices
            self.is_in_text = True
            self.output.text(piece)
            self.diagnostics.is_beside_text = self.output.is_terminal and not piece.endswith("\n")

    def finished(self, answer: Answer, *, model: str, peer: str) -> None:
        """The end of the answer, interrupted or not."""
        self.diagnostics.is_beside_text = False
        self.progress.clear()
        self._leave_reasoning()
        if self.form == "json":
            names = [picture.name for picture in self.pictures]
            self.output.json(as_json(answer, model=model, peer=peer, picture_names=names))
        elif self.form == "plain":
            if not self._render(answer.text) and answer.text and not answer.text.endswith("\n"):
                self.output.line()
            if self.diagnostics.is_terminal:
                self.diagnostics.line("   ".join((without_controls(peer), *figures(answer))))

    def broken_off(self) -> None:
        """An error follows, on a line of its own."""
        self.progress.clear()
        self._leave_reasoning()
        if self.diagnostics.is_beside_text:
            self.diagnostics.is_beside_text = False
            self.output.line()

    def _render(self, text: str) -> bool:
        """Whether the answer could be replaced; never where the terminal changed its size, or
        something else was said in the middle of it.
        """
        rendering, size = self.rendering, self._size_before
        if rendering is None or size is None or rendering.size() != size:
            return False
        if self.diagnostics.num_notices != self._num_notices_before:
            return False
        shown = without_controls(text)
        anew = replacement(shown, size.columns, size.lines, has_colour=rendering.has_colour)
        if anew is not None:
            self.output.drawn(anew)
        return anew is not None

    def _leave_reasoning(self) -> None:
        if self._is_in_reasoning:
            self.diagnostics.write("\n\n")
            self._is_in_reasoning = False


def as_json(
    answer: Answer, *, model: str, peer: str, picture_names: Sequence[str]
) -> dict[str, Any]:
    """The object of `--json`."""
    return {
        "schema": 1,
        "model": model,
        "answer": answer.text,
        "reasoning": answer.reasoning,
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "reasoning_tokens": answer.reasoning_tokens,
        "ttft_s": rounded(answer.time_to_first_token_s, 4),
        "tokens_per_s": rounded(answer.tokens_per_s, 4),
        "peer": peer,
        "images": [
            {"name": name, "width": seen.width, "height": seen.height, "tokens": seen.tokens}
            for name, seen in pictures_of_this_turn(picture_names, answer.images)
        ],
    }
