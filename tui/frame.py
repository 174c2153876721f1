"""What every screen is given: how things look, what is watched, whom to ask, and the time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from .acting import Acting
from .look import Look
from .watched import Watched


@dataclass(slots=True)
class Frame:
    """`sought` says in words where peers are looked for; `chat_model` is who answers a chat, where
    somebody has said it. The look changes with the theme.
    """

    look: Look
    watched: Watched
    acting: Acting
    sought: str
    now: Callable[[], datetime]
    chat_model: str | None = None
