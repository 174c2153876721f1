"""What peers say to each other in places where plain clients see nothing, or see it as text.

Stages, the accepted prompt and who answers it travel as SSE comments, which every SSE parser skips;
a hint travels at the end of an error's message. `remote.py` reads both back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec

from cortex.engine.stream import Accepted, Stage, StageWord

_PREFIX = "cortex "


class _Comment(msgspec.Struct):
    stage: StageWord = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    eta_s: float | None = None
    accepted: Accepted | None = None
    peer: str = ""


@dataclass(frozen=True, slots=True)
class AnsweredBy:
    """The peer whose engine has begun. Where another goes on, it is told again."""

    peer: str


Remark = Stage | Accepted | AnsweredBy


def to_comment(event: Remark) -> str:
    """The comment's text, without the colon."""
    if isinstance(event, AnsweredBy):
        plain: dict[str, Any] = {"peer": event.peer}
    elif isinstance(event, Stage):
        plain = {"stage": event.name}
        if event.done or event.total:
            plain |= {"done": event.done, "total": event.total, "unit": event.unit}
        if event.eta_s is not None:
            plain["eta_s"] = round(event.eta_s, 1)
    else:
        images = [{"width": i.width, "height": i.height, "tokens": i.tokens} for i in event.images]
        plain = {
            "accepted": {
                "prompt_tokens": event.prompt_tokens,
                "max_tokens": event.max_tokens,
                "images": images,
            }
        }
    return _PREFIX + json.dumps(plain, separators=(",", ":"))


def from_comment(text: str) -> Remark | None:
    """The event again; None for a comment that is not ours, or that a newer peer words anew."""
    text = text.strip()
    if not text.startswith(_PREFIX):
        return None
    try:
        told = msgspec.json.decode(text.removeprefix(_PREFIX), type=_Comment)
    except (ValueError, RecursionError):
        return None
    if told.accepted is not None:
        return told.accepted
    if told.peer:
        return AnsweredBy(told.peer)
    return Stage(told.stage, told.done, told.total, told.unit, told.eta_s) if told.stage else None


def join_hint(message: str, hint: str) -> str:
    return f"{message}; {hint}" if hint else message


def split_hint(message: str, hint: str) -> str:
    """The message without the hint at its end."""
    return message.removesuffix(f"; {hint}") if hint else message
