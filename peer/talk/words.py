"""A wait, a picture and an answer in a few words, the same wherever they are shown. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from cortex.engine.stream import Stage
from cortex.engine.types import ImageTokens

from ..units import memory, memory_share
from .answer import Answer

_WORDS = {
    "starting": "starting",
    "loading": "loading",
    "queued": "waiting",
    "preparing": "preparing",
    "prefill": "reading the prompt",
    "defragmenting": "tidying its memory",
}
_ENDINGS = {
    "length": "cut at the token limit",
    "context": "cut where the model's context is full",
    "cancelled": "stopped",
}
# A rate over a moment is noise, and its time left jumps.
_SHORTEST_S = 0.5


class Pace:
    """How fast the stage that is waited for goes on."""

    def __init__(self) -> None:
        self._began: tuple[str, float, int] | None = None

    def per_s(self, stage: Stage, now_s: float) -> float | None:
        """In the stage's own unit; None where too little of it was seen."""
        if self._began is None or self._began[0] != stage.name:
            self._began = (stage.name, now_s, stage.done)
        _, began_s, done_then = self._began
        return (
            (stage.done - done_then) / (now_s - began_s) if now_s - began_s > _SHORTEST_S else None
        )


def describe(stage: Stage, per_s: float | None) -> str:
    """The stage in words; `per_s` is its rate in its own unit, where it is known."""
    words = _WORDS.get(stage.name, stage.name)
    if stage.unit == "place":
        return f"{words}   place {stage.done}" if stage.done else words
    parts, left_s = [words], _left_s(stage, per_s)
    if stage.total:
        parts += [_amount(stage), percent(stage)]
        if per_s:
            parts.append(_rate(per_s, stage.unit))
    if left_s is not None:
        parts.append(f"{left_s:.0f} s left")
    return "   ".join(parts)


def in_short(stage: Stage, model: str, per_s: float | None) -> str:
    """`loading qwen3.5-9b 74 %, ~3 s`: the stage with its object, for one line among others."""
    if stage.unit == "place":
        return f"waiting, place {stage.done}" if stage.done else "waiting"
    words = _WORDS.get(stage.name, stage.name)
    if stage.name == "loading":
        words = f"loading {model}"
    elif stage.name == "prefill":
        words = f"reading {stage.total:,} tokens" if stage.total else "reading"
    if stage.total:
        words += f"{',' * (stage.name != 'loading')} {percent(stage)}"
    left_s = _left_s(stage, per_s)
    return words if left_s is None else f"{words}, ~{left_s:.0f} s"


def percent(stage: Stage) -> str:
    return f"{min(100, 100 * stage.done // stage.total)} %"


def pictures_of_this_turn(
    names: Sequence[str], seen: Sequence[ImageTokens]
) -> list[tuple[str, ImageTokens]]:
    """A turn's pictures with what the model sees of them: it is told of all turns' in order."""
    return list(zip(names, seen[-len(names) :], strict=False)) if names else []


def describe_picture(name: str, seen: ImageTokens) -> str:
    return f"image   {name}  {seen.width}x{seen.height} -> {seen.tokens:,} tokens"


def figures(answer: Answer) -> list[str]:
    """How fast and how much, and how it ended where that was not of itself."""
    parts: list[str] = []
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
    return parts


def _left_s(stage: Stage, per_s: float | None) -> float | None:
    if stage.eta_s is not None or not (stage.total and per_s):
        return stage.eta_s
    return max(0, stage.total - stage.done) / per_s


def _amount(stage: Stage) -> str:
    if stage.unit == "bytes":
        return memory_share(stage.done, stage.total)
    return f"{stage.done:,}/{stage.total:,} {stage.unit}".rstrip()


def _rate(per_s: float, unit: str) -> str:
    return f"{memory(round(per_s))}/s" if unit == "bytes" else f"{per_s:,.0f} {unit}/s"
