"""What peers say to each other in places where plain clients see nothing, or see it as text.

Stages, the accepted prompt and who answers it travel as SSE comments, which every SSE parser skips;
a hint travels at the end of an error's message. `remote.py` reads both back.
"""

from __future__ import annotations

import json
import typing
from dataclasses import dataclass
from typing import Any

from cortex.engine.types import Accepted, ImageTokens, Stage

_PREFIX = "cortex "
_STAGE_NAMES: frozenset[str] = frozenset(typing.get_args(typing.get_type_hints(Stage)["name"]))


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
        plain: Any = json.loads(text.removeprefix(_PREFIX))
        if "accepted" in plain:
            return _accepted(plain["accepted"])
        if "peer" in plain:
            return AnsweredBy(str(plain["peer"]))
        if plain["stage"] not in _STAGE_NAMES:
            return None
        return Stage(
            plain["stage"],
            int(plain.get("done", 0)),
            int(plain.get("total", 0)),
            str(plain.get("unit", "")),
            None if plain.get("eta_s") is None else float(plain["eta_s"]),
        )
    except (ArithmeticError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None


def join_hint(message: str, hint: str) -> str:
    return f"{message}; {hint}" if hint else message


def split_hint(message: str, hint: str) -> str:
    """The message without the hint at its end."""
    return message.removesuffix(f"; {hint}") if hint else message


def _accepted(plain: Any) -> Accepted:
    images = tuple(
        ImageTokens(int(image["width"]), int(image["height"]), int(image["tokens"]))
        for image in plain["images"]
    )
    return Accepted(int(plain["prompt_tokens"]), images, int(plain.get("max_tokens", 0)))
