"""The requests under way as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from cortex.peer.onlooker import request_wording as wording
from cortex.peer.onlooker.aligning import align
from cortex.peer.onlooker.request_pictures import RequestPicture
from cortex.peer.units import age

_NUMBERS = ("IN", "REUSED", "OUT", "TTFT", "TOK/S", "AGE")
_HEADS: tuple[str, ...] = ("ID", "MODEL", "PEER", "STAGE", *_NUMBERS)
# In which order columns go from a narrow terminal.
_LEAVE = ("REUSED", "TTFT", "TOK/S", "IN", "OUT", "PEER", "MODEL", "AGE")


def request_table(requests: Iterable[RequestPicture], *, width: int | None) -> list[str]:
    """Without a `width` nothing is left out."""
    rows = [dict(zip(_HEADS, _cells(one), strict=True)) for one in requests]
    heads = list(_HEADS)
    lines = _lines(heads, rows)
    for head in _LEAVE:
        if width is None or max(map(len, lines)) <= width:
            break
        heads.remove(head)
        lines = _lines(heads, rows)
    return lines


def _lines(heads: list[str], rows: list[dict[str, str]]) -> list[str]:
    cells = [[row[head] for head in heads] for row in rows]
    return align(heads, cells, [head in _NUMBERS for head in heads])


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
