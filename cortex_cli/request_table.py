"""The requests under way as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from cortex.peer.onlooker import request_wording as wording
from cortex.peer.onlooker.request_pictures import RequestPicture
from cortex.peer.units import age

from .fitting import fitted

_NUMBERS = ("IN", "REUSED", "OUT", "TTFT", "TOK/S", "AGE")
_HEADS: tuple[str, ...] = ("ID", "MODEL", "PEER", "STAGE", *_NUMBERS)
# In which order columns go from a narrow terminal.
_LEAVE = ("REUSED", "TTFT", "TOK/S", "IN", "OUT", "PEER", "MODEL", "AGE")


def request_table(requests: Iterable[RequestPicture], *, width: int | None) -> list[str]:
    """Without a `width` nothing is left out."""
    return fitted(_HEADS, map(_cells, requests), width=width, leave=_LEAVE, numbers=_NUMBERS)


def _cells(one: RequestPicture) -> tuple[str, ...]:
    return (
        one.id,
        one.model or "-",
        wording.peers(one),
        wording.stage(one),
        f"{one.prompt_tokens:,}",
        f"{one.cached_tokens:,}",
        f"{one.completion_tokens:,}",
        wording.first_token(one),
        wording.tokens_per_s(one),
        age(one.seconds),
    )
