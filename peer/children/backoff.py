"""How long a child that keeps dying rests before it is started again. Pure."""

from __future__ import annotations

from collections.abc import Iterable

# Deaths longer ago than this are forgiven.
REMEMBERED_S = 60.0
# A request is sent again twice at most: what it alone breaks makes nobody else wait.
_NUM_FREE = 2
_FIRST_REST_S = 0.5


def rest_s(deaths_s: Iterable[float], now_s: float, longest_s: float) -> float:
    """The rest that is due after deaths at these times: none, then doubling up to the longest."""
    num_recent = sum(now_s - death_s < REMEMBERED_S for death_s in deaths_s)
    if num_recent <= _NUM_FREE:
        return 0.0
    return min(_FIRST_REST_S * 2 ** (num_recent - _NUM_FREE - 1), longest_s)
