"""How somebody wants the dashboard: what a command line and a file of settings say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Theme = Literal["cortex-dark", "cortex-light", "ansi-dark", "ansi-light"]
THEMES: tuple[Theme, ...] = get_args(Theme)
DEFAULT_THEME: Theme = "cortex-dark"
FASTEST_S, SLOWEST_S = 0.5, 5.0


def _no_keys() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Options:
    """`sought` says in words where peers are looked for. `refresh_s` is the shortest time from one
    drawing to the next. `keys` are other keys for the actions in `keys.py`, by their ids.
    `chat_model` is who answers a chat; None is the first that can.
    """

    sought: str
    refresh_s: float = 1.0
    is_ascii: bool = False
    theme: Theme = DEFAULT_THEME
    has_mouse: bool = True
    keys: Mapping[str, str] = field(default_factory=_no_keys)
    chat_model: str | None = None
