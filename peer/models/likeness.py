"""Which models may be meant by a name that none has: clients bring names from other servers."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher, get_close_matches

_MOST = 3
_LEAST_LIKENESS = 0.5


def nearest(name: str, ids: Sequence[str]) -> list[str]:
    """The ids most like it, whoever publishes them and however their names are written elsewhere:
    `qwen3:8b` is like `Qwen/Qwen3-8B`.
    """
    written: dict[str, list[str]] = {}
    for one in ids:
        for form in _forms(one):
            written.setdefault(form, []).append(one)
    alike = [
        (SequenceMatcher(None, form, asked).ratio(), form)
        for asked in _forms(name)
        for form in get_close_matches(asked, written, _MOST, _LEAST_LIKENESS)
    ]
    best_first = (one for _, form in sorted(alike, reverse=True) for one in written[form])
    return list(dict.fromkeys(best_first))[:_MOST]


def _forms(name: str) -> tuple[str, ...]:
    """As all would write it: whole, and without its publisher."""
    whole = name.casefold().replace(":", "-")
    return tuple(dict.fromkeys((whole, whole.rpartition("/")[2])))
