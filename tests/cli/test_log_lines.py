"""Lines of the log as JSON objects."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.cli.diagnostics import show_logs
from cortex.cli.log_lines import JsonLines
from cortex.peer.observing.log_ring import LogRing


def line_of(message: str, *values: object, exc_info: Any = None) -> dict[str, str]:
    record = logging.LogRecord("a.b", logging.WARNING, "", 0, message, values, exc_info)
    record.created = 1.5
    return json.loads(JsonLines().format(record))


def test_an_event_and_its_fields_are_members() -> None:
    assert line_of("model leaves model=%s bytes=%d for=-", "qwen", 12) == {
        "time": "1970-01-01T00:00:01.500+00:00",
        "level": "warning",
        "logger": "a.b",
        "event": "model leaves",
        "model": "qwen",
        "bytes": "12",
        "for": "-",
    }


@pytest.mark.parametrize("message", ["a = b", "x=1 and more words", "", "two\nlines a=b"])
def test_a_line_that_is_written_otherwise_keeps_its_words(message: str) -> None:
    assert line_of(message)["event"] == message


def test_no_field_takes_the_place_of_a_member_of_every_line() -> None:
    line = line_of("said level=none time=now")
    assert (line["level"], line["level_"], line["time_"]) == ("warning", "none", "now")


def test_a_stack_is_a_member_too() -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        stack = line_of("broke", exc_info=(type(error), error, error.__traceback__))["stack"]
    assert stack.startswith("Traceback") and "ValueError: no" in stack


@given(st.text())
def test_whatever_is_logged_is_one_line_of_json(message: str) -> None:
    record = logging.LogRecord("a", logging.INFO, "", 0, message, (), None)
    line = JsonLines().format(record)
    assert "\n" not in line and json.loads(line)["level"] == "info"


def test_what_is_made_for_another_listener_is_not_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A peer keeps lines that nobody asked it to print."""
    show_logs(verbose=False, also=("cortex.x.also",))
    with LogRing().listening():
        logging.getLogger("cortex.x").info("kept")
        logging.getLogger("cortex.x").warning("shown")
        logging.getLogger("cortex.x.also").info("shown as well")
    words = [line.split()[-1] for line in capsys.readouterr().err.splitlines()]
    assert words == ["shown", "well"]


def test_another_level_holds_at_once_and_what_is_kept_stays_whole(
    capsys: pytest.CaptureFixture[str],
) -> None:
    room = logging.getLogger("cortex.x")
    show_logs(verbose=False, level="info")
    with (ring := LogRing()).listening():
        show_logs(verbose=False, level="warning")
        room.info("kept alone")
        show_logs(verbose=False, level="debug")
        room.debug("shown")
    assert [line.split()[-1] for line in capsys.readouterr().err.splitlines()] == ["shown"]
    kept = ring.page(0, 0.0, logging.DEBUG).lines
    assert [line.text for line in kept] == ["kept alone", "shown"]


def test_what_libraries_say_for_debugging_is_neither_shown_nor_kept(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_logs(verbose=False, level="debug")
    with (ring := LogRing()).listening():
        for name in ("aiohttp.internal", "PIL.x"):
            logging.getLogger(name).debug("a cookie that a client sent")
        logging.getLogger("aiohttp.internal").info("told")
        logging.getLogger("cortex.x").debug("ours")
    shown = [line.split()[-1] for line in capsys.readouterr().err.splitlines()]
    assert shown == [line.text for line in ring.page(0, 0.0, logging.DEBUG).lines]
    assert shown == ["told", "ours"]


def test_a_peer_logs_as_it_is_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("json", "text"):
        show_logs(verbose=False, form=form)
        logging.getLogger("cortex.x").warning("lost node=%s", "borea")
    as_json, as_text = capsys.readouterr().err.splitlines()
    assert json.loads(as_json)["node"] == "borea"
    assert as_text.endswith(" WARNING cortex.x lost node=borea")


def test_what_the_library_of_mdns_complains_of_is_told_by_its_callers_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = logging.getLogger("zeroconf")
    show_logs(verbose=False)
    said.error("Address in use")
    assert capsys.readouterr().err == ""
    show_logs(verbose=True)
    said.error("Address in use")
    assert "Address in use" in capsys.readouterr().err
