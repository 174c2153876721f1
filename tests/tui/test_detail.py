"""The lines about one peer, as words."""

from __future__ import annotations

import pytest

from cortex.peer.onlooker.details import RatesDetail
from cortex.tui.look import Look
from cortex.tui.widgets.detail import rates_line


@pytest.mark.parametrize(
    ("requests", "errors", "words"),
    [
        (0, 0, "5 min: no requests"),
        (1, 0, "5 min: 1 request"),
        (412, 0, "5 min: 412 requests"),
        (412, 3, "5 min: 3/412 failed"),
    ],
)
def test_what_has_failed_is_told_where_something_has(
    requests: int, errors: int, words: str
) -> None:
    rates = RatesDetail(0.0, 0.0, 0, 0, None, None, None, requests, errors, 0, 0)
    assert rates_line(rates, Look()).plain == words
