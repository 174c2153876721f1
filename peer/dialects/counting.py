"""How many things a body may hold, counted over what was read of it."""

from __future__ import annotations

from collections.abc import Iterable

from cortex.engine.types import ImagePart, Message

from .asked import Limits
from .decoding import refuse


def check_images(path: str, messages: Iterable[Message], limits: Limits) -> None:
    num_images = sum(isinstance(part, ImagePart) for m in messages for part in m.content)
    if num_images > limits.max_images:
        refuse(path, f"holds {num_images} pictures, at most {limits.max_images} are taken")
