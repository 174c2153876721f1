"""`cortex tui` at a terminal: what each of its options does to what the terminal gets."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cortex.cli.config import find_locations, read_environment
from cortex.cli.kept_feed import seen_before
from cortex.cli.last_seen import keep, last_seen
from cortex.cli.main import run
from cortex.peer.config import Locations, PeerConfig
from cortex.tui.acting import Acting
from cortex.tui.options import Options

Dashboard = Callable[..., str]
_ESCAPES = re.compile(r"\x1b\[[0-9;?>=:]*[ -/]*[@-~]|\x1b[PX^_\]].*?(?:\x1b\\|\x07)|\x1b.")
TAKES_MOUSE, LEAVES_ITS_SCREEN, COLOUR = "\x1b[?1000h", "\x1b[?1049l", "38;2;"


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

    def run_it(*options: str) -> str:
        terminal = at_terminal("tui", "--peer", address, *options)
        terminal.wait_for("1 on disk")
        terminal.wait_for("Quit")
        terminal.press("q")
        assert terminal.wait_for_end() == 0
        assert terminal.is_as_found()
        return terminal.shown

    return run_it


def letters(shown: str) -> str:
    return _ESCAPES.sub("", shown)


def test_a_terminal_that_cannot_draw_is_told_so_and_sent_no_escapes(
    at_terminal: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    terminal = at_terminal("tui")
    assert terminal.wait_for_end() == 2
    assert "TERM=dumb" in terminal.shown
    assert "\x1b" not in terminal.shown


def test_as_it_is_it_has_mouse_and_colours_may_steer_and_leaves_the_terminal_as_it_was(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    shown = dashboard()
    assert TAKES_MOUSE in shown and LEAVES_ITS_SCREEN in shown and COLOUR in shown
    assert "╭─ peers" in letters(shown) and "Drain" in letters(shown)


def test_it_may_be_plain_without_mouse_in_the_colours_of_the_terminal_and_only_look_on(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    shown = dashboard("--ascii", "--no-mouse", "--theme", "ansi-dark", "--read-only")
    assert TAKES_MOUSE not in shown and COLOUR not in shown
    text = letters(shown)
    assert "+- peers" in text and "Drain" not in text
    assert text.isascii(), {char for char in text if not char.isascii()}


def test_what_was_seen_last_is_shown_when_nobody_answers_and_not_of_another_address(
    at_terminal: Callable[..., Any], address: str
) -> None:
    terminal = at_terminal("tui", "--peer", address)
    terminal.wait_for("1 on disk")
    os.killpg(terminal.process.pid, signal.SIGHUP)
    assert terminal.wait_for_end() == -signal.SIGHUP
    cache_dir = find_locations(os.environ).cache_dir
    seen = last_seen(cache_dir, time.time())
    assert address in seen.addresses
    keep(cache_dir, replace(seen, addresses=("127.0.0.1:1",)), time.time())
    assert seen_before(cache_dir, "127.0.0.1:2") is None
    terminal = at_terminal("tui", "--peer", "127.0.0.1:1")
    terminal.wait_for("as it was")
    terminal.wait_for("1 on disk")


@dataclass(slots=True)
class Begun:
    """A dashboard that only notes how it was begun."""

    options: Options
    is_read_only: bool
    takes_mouse: bool = False

    def run(self, *, mouse: bool) -> None:
        self.takes_mouse = mouse


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Begun]:
    begun: list[Begun] = []

    def note(_feed: object, acting: Acting, options: Options, **_: object) -> Begun:
        begun.append(Begun(options, acting.is_read_only))
        return begun[-1]

    monkeypatch.setattr("cortex.tui.app.CortexApp", note)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)

    def run_it(*options: str, settings: str = "") -> Begun:
        file = tmp_path / "cortex.toml"
        file.write_text(settings)
        monkeypatch.setenv("CORTEX_CONFIG", str(file))
        assert run(["tui", *options], read_environment({"HOME": str(tmp_path)})) == 0
        return begun[-1]

    return run_it


ALL = ("--refresh", "2.5s", "--theme", "ansi-dark", "--ascii", "--no-mouse", "--read-only")
SETTINGS = """
tui = { refresh = "2.5s", theme = "ansi-dark", ascii = true, no_mouse = true, read_only = true }
"""


@pytest.mark.parametrize("wish", [{"options": ALL}, {"settings": SETTINGS}])
def test_every_option_and_setting_gets_where_it_belongs(
    begin: Callable[..., Begun], wish: dict[str, Any]
) -> None:
    wished, usual = begin(*wish.get("options", ()), settings=wish.get("settings", "")), begin()
    sought = usual.options.sought
    assert wished.options == Options(sought, 2.5, True, "ansi-dark", False)
    assert (wished.is_read_only, wished.takes_mouse) == (True, False)
    assert usual.options == Options(sought)
    assert (usual.is_read_only, usual.takes_mouse) == (False, True)


def test_keys_are_those_of_the_settings_and_who_answers_is_an_option(
    begin: Callable[..., Begun], tmp_path: Path
) -> None:
    options = ("--model", "tiny-1b", "--state-dir", str(tmp_path / "state"))
    begun = begin(*options, settings='[keys]\nscreen.pause = "z"\n').options
    assert (begun.keys, begun.chat_model) == ({"screen.pause": "z"}, "tiny-1b")
    assert str(tmp_path / "state") in begun.sought
