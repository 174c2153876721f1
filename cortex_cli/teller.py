"""Shows one answer while it arrives: the text on standard output, all else on standard error.

It decides what is shown where; what an answer is, it leaves to `answer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cortex.engine.types import Accepted, ImagePart, ImageTokens, Stage

from .answer import Answer
from .diagnostics import Diagnostics
from .output import Output, without_controls
from .progress import ProgressLine

Form = Literal["plain", "raw", "json"]

_ENDINGS = {
    "length": "cut at the token limit",
    "context": "cut where the model's context is full",
    "cancelled": "stopped",
}


@dataclass(slots=True)
class Teller:
    """A `Listener`. `plain` is for people, `raw` is the model's text alone, `json` one object."""

    output: Output
    diagnostics: Diagnostics
    progress: ProgressLine
    form: Form
    pictures: Sequence[ImagePart]
    hides_reasoning: bool = False
    is_in_text: bool = field(default=False, init=False)
    _is_in_reasoning: bool = field(default=False, init=False)

    def waiting(self, stage: Stage) -> None:
        # A line that is drawn and erased would take half a line of the answer with it.
        if not self.is_in_text and not self._is_in_reasoning:
            self.progress.show(stage)

    def accepted(self, accepted: Accepted) -> None:
        self.progress.clear()
        if self.form != "raw":
            names = [picture.name for picture in self.pictures]
            for name, seen in _of_this_turn(names, accepted.images):
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
            self.is_in_text = True
            self.output.text(piece)

    def finished(self, answer: Answer, *, model: str, peer: str) -> None:
        """The end of the answer, interrupted or not."""
        self.progress.clear()
        self._leave_reasoning()
        if self.form == "json":
            names = [picture.name for picture in self.pictures]
            self.output.json(as_json(answer, model=model, peer=peer, picture_names=names))
        elif self.form == "plain":
            if answer.text and not answer.text.endswith("\n"):
                self.output.line()
            if self.diagnostics.is_terminal:
                self.diagnostics.line(describe_answer(answer, peer))

    def _leave_reasoning(self) -> None:
        if self._is_in_reasoning:
            self.diagnostics.write("\n\n")
            self._is_in_reasoning = False


def _of_this_turn(
    names: Sequence[str], seen: Sequence[ImageTokens]
) -> list[tuple[str, ImageTokens]]:
    """A turn's pictures with what the model sees of them: it is told of all turns' in order."""
    return list(zip(names, seen[-len(names) :], strict=False)) if names else []


def describe_picture(name: str, seen: ImageTokens) -> str:
    return f"image   {name}  {seen.width}x{seen.height} -> {seen.tokens:,} tokens"


def describe_answer(answer: Answer, peer: str) -> str:
    """Who answered, how fast, how much."""
    parts = [peer]
    if answer.time_to_first_token_s is not None:
        parts.append(f"ttft {answer.time_to_first_token_s:.2f} s")
    if answer.tokens_per_s is not None:
        parts.append(f"{answer.tokens_per_s:,.0f} tok/s")
    if answer.prompt_tokens is not None:
        reused = f", {answer.cached_tokens:,} reused" if answer.cached_tokens else ""
        parts.append(f"{answer.prompt_tokens:,} in{reused}")
    if answer.completion_tokens is not None:
        thought = f", {answer.reasoning_tokens:,} thought" if answer.reasoning_tokens else ""
        parts.append(f"{answer.completion_tokens:,} out{thought}")
    if ending := _ENDINGS.get(answer.finish_reason):
        parts.append(ending)
    return "   ".join(parts)


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
        "ttft_s": _rounded(answer.time_to_first_token_s),
        "tokens_per_s": _rounded(answer.tokens_per_s),
        "peer": peer,
        "images": [
            {"name": name, "width": seen.width, "height": seen.height, "tokens": seen.tokens}
            for name, seen in _of_this_turn(picture_names, answer.images)
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
