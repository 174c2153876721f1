"""A peer seen closely, log lines, happenings: read from JSON that is not believed."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from cortex.peer.onlooker.details import read_detail
from cortex.peer.onlooker.happenings import Happening, read_happening
from cortex.peer.onlooker.log_lines import LogLine, read_line, read_log

GIB = 1024**3
DETAIL: dict[str, Any] = {
    "node": "ab" * 8,
    "name": "atlas",
    "version": "1.0",
    "uptime_s": 12.5,
    "api": None,
    "key_id": "3fa2",
    "devices": [
        {
            "name": "NVIDIA A10",
            "kind": "cuda",
            "memory_bytes": 24 * GIB,
            "free_bytes": 4 * GIB,
            "utilisation": 0.5,
            "temperature_c": None,
            "power_w": 120.5,
            "foreign_bytes": GIB,
            "models": [
                {"id": "m", "state": "ready", "parts": [{"what": "weights", "bytes": 3 * GIB}]}
            ],
        }
    ],
    "rates": {
        "decode_tokens_per_s": 71.5,
        "prompt_tokens_per_s": 0,
        "running": 2,
        "waiting": 1,
        "ttft_p50_s": 0.2,
        "ttft_p95_s": None,
        "cached_ratio": 0.25,
        "requests_5m": 7,
        "errors_5m": 1,
        "failovers_5m": 0,
        "evictions_5m": 0,
    },
    "round_trips": [{"peer": "borea", "ms": 0.4}],
    "events": [{"time": 1700000000.5, "text": "loaded m"}],
}
LINE: dict[str, Any] = {"time": 1700000000.5, "level": "info", "source": "node", "text": "up"}


def test_a_time_that_no_calendar_shows_is_refused_wherever_it_stands() -> None:
    happened = {"time": 1, "peer": "a", "what": "left", "text": "a left"}
    event = DETAIL["events"][0]
    for time_s, has_sense in ((253_402_214_400, True), (253_402_214_401, False), (1.7e12, False)):
        for read, told in (
            (read_line, LINE | {"time": time_s}),
            (read_happening, happened | {"time": time_s}),
            (read_detail, DETAIL | {"events": [event | {"time": time_s}]}),
        ):
            with nullcontext() if has_sense else pytest.raises(ValueError, match="last year"):
                read(told)
    assert datetime.fromtimestamp(253_402_214_400, timezone(timedelta(hours=14))).year == 9999


def test_a_peer_s_details_are_read_whole() -> None:
    detail = read_detail(DETAIL | {"moon": 1})
    [device] = detail.devices
    assert (detail.name, detail.api, detail.uptime_s) == ("atlas", None, 12.5)
    assert (device.utilisation, device.temperature_c, device.power_w) == (0.5, None, 120.5)
    assert device.models[0].parts[0].num_bytes == 3 * GIB
    assert (detail.rates.ttft_p50_s, detail.rates.ttft_p95_s) == (0.2, None)
    assert detail.round_trips[0].ms == 0.4
    assert detail.events[0].text == "loaded m"


@pytest.mark.parametrize(
    "path",
    [
        ("node",),
        ("uptime_s",),
        ("devices",),
        ("devices", 0),
        ("devices", 0, "free_bytes"),
        ("devices", 0, "models", 0, "parts", 0, "bytes"),
        ("rates", "running"),
        ("round_trips", 0, "ms"),
        ("events", 0, "time"),
    ],
)
@pytest.mark.parametrize("wrong", [None, {}, -1, float("nan"), True, [[]]])
def test_details_that_no_peer_tells_are_refused(path: tuple[Any, ...], wrong: Any) -> None:
    told: Any = copy.deepcopy(DETAIL)
    inner = told
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = wrong
    with pytest.raises(ValueError):
        read_detail(told)


def test_a_field_that_is_missing_is_named() -> None:
    told = {name: value for name, value in DETAIL.items() if name != "rates"}
    with pytest.raises(ValueError, match="'rates'"):
        read_detail(told)


def test_a_happening_is_read_and_moves_no_cursor() -> None:
    told = {"time": 1, "peer": "a", "what": "evicted", "model": None, "text": "a\x1b[2J"}
    assert read_happening(told) == Happening(1, "a", "evicted", "", "a[2J")
    with pytest.raises(ValueError, match="'text'"):
        read_happening({"time": 1, "peer": "a", "what": "evicted"})


def test_log_lines_are_read_and_what_is_worse_than_we_know_is_an_error() -> None:
    page = read_log({"peer": "a", "skipped": 3, "lines": [LINE, LINE | {"level": "doom"}]})
    assert (page.peer, page.skipped) == ("a", 3)
    assert page.lines[0] == LogLine(1700000000.5, "info", "node", "up")
    assert page.lines[1].level == "error"
    for wrong in ({**LINE, "text": 3}, {**LINE, "time": "now"}, {"level": "info"}):
        with pytest.raises(ValueError):
            read_line(wrong)
