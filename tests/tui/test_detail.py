"""The lines about one peer, as words."""

from __future__ import annotations

import pytest

from cortex.peer.onlooker.details import DeviceDetail, RatesDetail
from cortex.tui.look import Look
from cortex.tui.widgets.detail import device_line, rates_line


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


def test_a_device_that_is_given_in_part_is_told_by_that_part() -> None:
    gpu = DeviceDetail("H100", "cuda", 20 << 30, 12 << 30, 0, (), whole_bytes=80 << 30)
    assert device_line(0, gpu, Look()).plain.endswith(" 8.0/20.0 GiB given of 80.0 GiB")
