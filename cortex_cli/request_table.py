"""The requests under way as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cortex.peer.units import age

from .output import align

_HEADS: tuple[str, ...] = ("ID", "MODEL", "PEER", "STAGE", "IN", "OUT", "AGE")
_NUMBERS = ("IN", "OUT", "AGE")
# In which order columns go from a narrow terminal.
_LEAVE = ("IN", "OUT", "PEER", "MODEL", "AGE")


def request_table(requests: Iterable[Mapping[str, Any]], *, width: int | None) -> list[str]:
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


def _cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    peer, host = one["peer"], one["host"]
    return (
        one["id"],
        one["model"] or "-",
        peer if peer == host else f"{peer} > {host}",
        _stage(one),
        f"{one['prompt_tokens']:,}",
        f"{one['completion_tokens']:,}",
        age(one["seconds"]),
    )


def _stage(one: Mapping[str, Any]) -> str:
    """waiting #2, loading 74%, prefill 41%, decode."""
    done, total = one.get("done", 0), one.get("total", 0)
    if one["stage"] == "queued":
        return f"waiting #{done}" if done else "waiting"
    return f"{one['stage']} {100 * done // total}%" if total else one["stage"]
