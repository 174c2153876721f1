"""The screens that have a number, one line each: 1 to 5, in the order of the footer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..frame import Frame
from .chat import ChatScreen
from .fleet import FleetScreen
from .framed import FramedScreen
from .logs import LogsScreen
from .models import ModelsScreen
from .requests import RequestsScreen


@dataclass(frozen=True, slots=True)
class Numbered:
    """`name` is what the footer and the palette call it; `id` names its key in [keys]."""

    key: str
    id: str
    name: str
    make: Callable[[Frame], FramedScreen]


NUMBERED = (
    Numbered("1", "fleet", "Fleet", FleetScreen),
    Numbered("2", "models", "Models", ModelsScreen),
    Numbered("3", "requests", "Requests", RequestsScreen),
    Numbered("4", "chat", "Chat", ChatScreen),
    Numbered("5", "logs", "Logs", LogsScreen),
)
