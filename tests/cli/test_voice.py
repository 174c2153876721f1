"""What a running peer says, in words or as objects, and that nobody has to hear it."""

from __future__ import annotations

import json
import time
from io import StringIO

import pytest

from cortex.cli.diagnostics import Diagnostics
from cortex.cli.output import Output
from cortex.cli.voice import Voice

NOW_S = 1_500.5


@pytest.fixture
def out() -> StringIO:
    return StringIO()


@pytest.fixture
def beside() -> StringIO:
    return StringIO()


@pytest.fixture
def voice(out: StringIO, beside: StringIO) -> Voice:
    return Voice(Output(out), Diagnostics(beside, can_redraw=False), lambda: NOW_S)


def test_to_people_what_happens_is_said_with_its_time(
    voice: Voice, out: StringIO, beside: StringIO
) -> None:
    voice.line("api    here")
    voice.event("borea joined")
    voice.event("borea left", NOW_S + 60)
    voice.notice("draining")
    times = [time.strftime("%H:%M:%S", time.localtime(at_s)) for at_s in (NOW_S, NOW_S + 60)]
    told = f"api    here\n{times[0]} borea joined\n{times[1]} borea left\n"
    assert (out.getvalue(), beside.getvalue()) == (told, "draining\n")


def test_beside_a_log_in_json_it_is_said_as_lines_of_that_log(
    voice: Voice, out: StringIO, beside: StringIO
) -> None:
    voice.form = "json"
    voice.line("api    here")
    voice.event("borea left")
    voice.notice("100 % drained")
    told = [json.loads(line) for line in (*out.getvalue().splitlines(), beside.getvalue())]
    assert [each["event"] for each in told] == ["api    here", "borea left", "100 % drained"]
    assert told[0]["time"] == "1970-01-01T00:25:00.500+00:00"
    assert {(each["level"], each["logger"]) for each in told} == {("info", "cortex.said")}


def test_on_a_full_disk_it_is_not_said(beside: StringIO) -> None:
    full = open("/dev/full", "w")  # noqa: SIM115 - closing it would write what is left
    voice = Voice(Output(full), Diagnostics(beside, can_redraw=False))
    voice.line("api    here")
    voice.event("borea joined")
    with pytest.raises(OSError, match="No space left"):
        full.close()
