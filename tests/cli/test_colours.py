"""Who may see colours, in a pipe and at a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from cortex.cli.colours import colour_wish

Cortex = Callable[..., Any]
OpenTerminal = Callable[..., Any]
RED = "\x1b[31m"
_ANY_COLOUR = re.compile(r"\x1b\[3[0-7]m")


@pytest.fixture(autouse=True)
def nothing_is_wished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)


@pytest.mark.parametrize(
    ("environ", "wish"),
    [
        ({}, None),
        ({"TERM": "xterm"}, None),
        ({"TERM": "dumb"}, False),
        ({"NO_COLOR": ""}, False),
        ({"FORCE_COLOR": ""}, True),
        ({"FORCE_COLOR": "0"}, True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": ""}, False),
    ],
)
def test_a_variable_counts_where_it_is_set(environ: Mapping[str, str], wish: bool | None) -> None:
    assert colour_wish(environ) is wish


@pytest.mark.parametrize(
    ("environ", "options", "in_pipe", "at_a_terminal"),
    [
        ({}, (), False, True),
        ({"TERM": "dumb"}, (), False, False),
        ({"FORCE_COLOR": "1"}, (), True, True),
        ({"FORCE_COLOR": "", "NO_COLOR": ""}, (), False, False),
        ({"FORCE_COLOR": "1"}, ("--no-color",), False, False),
    ],
)
def test_an_error_is_coloured_where_that_is_wanted(
    cortex: Cortex,
    at_terminal: OpenTerminal,
    monkeypatch: pytest.MonkeyPatch,
    environ: Mapping[str, str],
    options: tuple[str, ...],
    in_pipe: bool,
    at_a_terminal: bool,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    told = cortex("status", *options).stderr
    assert told.startswith(f"{RED}error:") is in_pipe
    assert (_ANY_COLOUR.search(told) is not None) is in_pipe
    terminal = at_terminal("status", *options)
    assert terminal.wait_for_end() == 3
    assert (f"{RED}error:" in terminal.shown) is at_a_terminal
    assert (_ANY_COLOUR.search(terminal.shown) is not None) is at_a_terminal
