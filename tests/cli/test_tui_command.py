"""`cortex tui` at a terminal: what each of its options does to what the terminal gets."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cortex.cli.config import find_locations, read_environment
from cortex.cli.last_seen import keep, last_seen
from cortex.cli.main import run
from cortex.peer.config import Locations, PeerConfig
from cortex.tui.options import Options

Dashboard = Callable[..., str]
_ESCAPES = re.compile(r"\x1b\[[0-9;?>=:]*[ -/]*[@-~]|\x1b[PX^_\]].*?(?:\x1b\\|\x07)|\x1b.")
TAKES_MOUSE = "\x1b[?1000h"


@pytest.fixture(scope="module")
def address(
    serve_peer: Callable[[PeerConfig], str], tmp_path_factory: pytest.TempPathFactory
) -> str:
    root = tmp_path_factory.mktemp("tui")
    places = Locations(root / "data", root / "state", root / "run")
    return serve_peer(PeerConfig(places, engine="fake", port=0))


@pytest.fixture
def dashboard(at_terminal: Callable[..., Any], address: str) -> Dashboard:
    """All that the terminal got, from the start until a peer stands there, and then the end."""

    def run_it(*options: str, key: str = "") -> str:
        terminal = at_terminal("tui", "--peer", address, *options)
        terminal.wait_for("1 on disk")
        terminal.wait_for("Quit")
        if key:
            terminal.press(key)
        terminal.wait_for_quiet()
        terminal.press("q")
        assert terminal.wait_for_end() == 0
        return terminal.shown

    return run_it


def letters(shown: str) -> str:
    return _ESCAPES.sub("", shown)


def test_as_it_is_it_takes_the_mouse_has_colours_and_may_steer(dashboard: Dashboard) -> None:
    shown = dashboard()
    assert TAKES_MOUSE in shown
    assert "╭─ peers" in letters(shown)
    assert "Drain" in letters(shown)


def test_no_mouse_leaves_it_to_the_terminal(dashboard: Dashboard) -> None:
    assert TAKES_MOUSE not in dashboard("--no-mouse")


def test_ascii_is_nothing_else(dashboard: Dashboard) -> None:
    text = letters(dashboard("--ascii"))
    assert "+- peers" in text
    assert text.isascii(), {char for char in text if not char.isascii()}


def test_read_only_has_no_orders(dashboard: Dashboard) -> None:
    assert "Drain" not in letters(dashboard("--read-only"))


def test_an_ansi_theme_uses_the_colours_of_the_terminal(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "38;2;" in dashboard("--theme", "cortex-light")
    assert "38;2;" not in dashboard("--theme", "ansi-dark")


def test_the_settings_are_heard(
    dashboard: Dashboard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cortex.toml"
    file.write_text('[tui]\nascii = true\n[keys]\nscreen.pause = "z"\n')
    monkeypatch.setenv("CORTEX_CONFIG", str(file))
    text = letters(dashboard(key="z"))
    assert "+- peers" in text and "PAUSED" in text


def test_what_was_seen_last_is_shown_when_nobody_answers_and_not_of_another_address(
    dashboard: Dashboard, at_terminal: Callable[..., Any]
) -> None:
    dashboard()
    cache_dir = find_locations(os.environ).cache_dir
    seen = last_seen(cache_dir, time.time())
    assert seen.fleet is not None
    keep(cache_dir, replace(seen, addresses=("127.0.0.1:1",)), time.time())
    for silent, words in (("127.0.0.1:1", "as it was"), ("127.0.0.1:2", "No peer answers yet")):
        terminal = at_terminal("tui", "--peer", silent)
        terminal.wait_for(words)
        terminal.wait_for("Quit")
        terminal.press("q")
        assert terminal.wait_for_end() == 0
        assert ("1 on disk" in terminal.shown) == (words == "as it was")


def test_every_option_gets_where_it_belongs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Options] = []

    class Begun:
        def __init__(self, _feed: object, _acting: object, options: Options, **_: object) -> None:
            begun.append(options)

        def run(self, *, mouse: bool) -> None: ...

    monkeypatch.setattr("cortex.tui.app.CortexApp", Begun)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    named = ("--refresh", "2.5s", "--model", "tiny-1b", "--state-dir", str(tmp_path / "state"))
    for options in (named, ()):
        assert run(["tui", *options], read_environment({"HOME": str(tmp_path)})) == 0
    wished, usual = begun
    assert (wished.refresh_s, wished.chat_model) == (2.5, "tiny-1b")
    assert (usual.refresh_s, usual.chat_model) == (1.0, None)
    assert str(tmp_path / "state") in wished.sought and wished.sought != usual.sought
