"""What all screens have: keys, the palette, themes, the mouse, the pace."""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from textual.binding import Binding
from textual.pilot import Pilot

from cortex.tui import screens, widgets
from cortex.tui.app import CortexApp
from cortex.tui.keys import KEYS, is_key
from cortex.tui.options import THEMES
from cortex.tui.screens.fleet import FleetScreen
from cortex.tui.screens.keys_list import SAYS_CELLS
from cortex.tui.widgets.keys_line import Hint, fitting

MakeApp = Callable[..., CortexApp]


def fleet_screen(pilot: Pilot[None]) -> FleetScreen:
    screen = pilot.app.screen
    assert isinstance(screen, FleetScreen)
    return screen


def files_of(folder: Path) -> dict[str, Any]:
    return {path.name: json.loads(path.read_text()) for path in folder.iterdir()}


def chosen(pilot: Pilot[None]) -> str:
    peer = fleet_screen(pilot).chosen
    return peer.name if peer is not None else ""


def bindings() -> list[Binding]:
    """All that there are, of the app and of everything that lies with the screens."""
    folders = (screens, widgets)
    modules = [
        import_module(f"{folder.__name__}.{module.name}")
        for folder in folders
        for module in pkgutil.iter_modules(folder.__path__)
    ]
    classes = {CortexApp, *_classes(modules)}
    found = [one for each in classes for one in each.__dict__.get("BINDINGS", ())]
    return [one for one in found if isinstance(one, Binding) and one.id is not None]


def _classes(modules: Iterable[ModuleType]) -> Iterator[type]:
    for module in modules:
        yield from (one for one in vars(module).values() if isinstance(one, type))


def test_every_key_can_be_given_another_by_a_name_that_the_settings_know() -> None:
    names = {"slash": "/", "question_mark": "?", "plus": "+", "minus": "-"}
    bound = {
        one.id: ",".join(names.get(key, key) for key in one.key.split(",")) for one in bindings()
    }
    assert bound == {id: use.key for id, use in KEYS.items()}


def test_what_a_key_does_is_said_in_the_room_that_the_list_has() -> None:
    assert {id: use.says for id, use in KEYS.items() if len(use.says) > SAYS_CELLS} == {}


async def test_a_key_of_the_settings_works_in_the_place_of_the_other(
    make_app: MakeApp, feed: Any, told: Any, eyes: Any
) -> None:
    app = make_app(keys={"screen.pause": "f,F5", "table.sort": "ctrl+t"})
    async with app.run_test() as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "delta" in eyes.screen(pilot))
        await pilot.press("p", "s")
        assert "PAUSED" not in eyes.screen(pilot) and "by peer" not in eyes.screen(pilot)
        await pilot.press("f", "ctrl+t")
        assert "PAUSED" in eyes.screen(pilot) and "by peer" in eyes.screen(pilot)


async def test_the_palette_has_actions_and_peers_by_name(
    make_app: MakeApp, feed: Any, told: Any, eyes: Any
) -> None:
    async with make_app().run_test(size=(100, 30)) as pilot:
        feed.say(told.fleet([told.peer("atlas"), told.peer("[b]odd[/b]"), told.peer("cirrus")]))
        await eyes.until(pilot, lambda: "cirrus" in eyes.screen(pilot))
        await pilot.press("ctrl+p", *"odd")
        await eyes.until(pilot, lambda: "[b]odd[/b]" in eyes.screen(pilot))
        await pilot.press(*["backspace"] * 3)
        await pilot.press(*"cirrus")
        await eyes.until(pilot, lambda: "peer, up" in eyes.screen(pilot))
        await pilot.press("enter")
        await eyes.until(pilot, lambda: isinstance(pilot.app.screen, FleetScreen))
        await eyes.until(pilot, lambda: chosen(pilot) == "cirrus")
        await pilot.press("ctrl+p", *"pause")
        await eyes.until(pilot, lambda: "key p" in eyes.screen(pilot))
        await pilot.press("enter")
        await eyes.until(pilot, lambda: "PAUSED" in eyes.screen(pilot))


async def test_what_the_peer_tells_is_written_to_a_file(
    make_app: MakeApp, feed: Any, told: Any, eyes: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("textual.driver.user_downloads_path", lambda: tmp_path, raising=False)
    monkeypatch.setattr("textual.app.user_downloads_path", lambda: tmp_path, raising=False)
    async with make_app().run_test(size=(120, 30), notifications=True) as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "delta" in eyes.screen(pilot))
        await pilot.press("ctrl+p", *"export json")
        await eyes.until(pilot, lambda: "what the peer tells" in eyes.screen(pilot))
        await pilot.press("enter")
        await eyes.until(pilot, lambda: "written:" in eyes.screen(pilot))
    assert files_of(tmp_path) == {"cortex-fleet-20261121-140231.json": told.four_peers()}


async def test_keys_move_and_copy(make_app: MakeApp, feed: Any, told: Any, eyes: Any) -> None:
    async with make_app().run_test() as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "delta" in eyes.screen(pilot))
        await pilot.press("G")
        assert chosen(pilot) == "delta"
        await pilot.press("c")
        assert pilot.app.clipboard == "delta"
        await pilot.press("g")
        assert chosen(pilot) == "atlas"


async def test_it_is_drawn_at_the_pace_that_is_wished_and_that_keys_set(
    make_app: MakeApp, eyes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(refresh_s=2.0)
    paces: list[float] = []
    set_interval = app.set_interval

    def note(interval: float, callback: Any) -> Any:
        paces.append(interval)
        return set_interval(interval, callback)

    monkeypatch.setattr(app, "set_interval", note)
    async with app.run_test() as pilot:
        await pilot.press("plus", "minus", "minus")
        assert paces == [2.0, 1.0, 2.0, 4.0]


async def test_the_pace_has_bounds(make_app: MakeApp, eyes: Any) -> None:
    async with make_app(refresh_s=1.0).run_test(notifications=True) as pilot:
        await pilot.press("plus", "plus")
        await eyes.until(pilot, lambda: "drawn every 0.5 s" in eyes.screen(pilot))
        await pilot.press(*["minus"] * 5)
        await eyes.until(pilot, lambda: "drawn every 5 s" in eyes.screen(pilot))


async def test_the_mouse_is_left_to_the_terminal_and_taken_again(
    make_app: MakeApp, eyes: Any
) -> None:
    async with make_app(has_mouse=False).run_test(notifications=True) as pilot:
        driver: Any = pilot.app._driver  # pyright: ignore[reportPrivateUsage]
        said: list[str] = []
        driver._enable_mouse_support = lambda: said.append("on")
        driver._disable_mouse_support = lambda: said.append("off")
        await pilot.press("m", "m")
        assert said == ["on", "off"]
        await eyes.until(pilot, lambda: "the mouse selects text" in eyes.screen(pilot))


@pytest.mark.parametrize("theme", THEMES)
async def test_a_theme_colours_the_cells_too(
    make_app: MakeApp, feed: Any, told: Any, eyes: Any, theme: str
) -> None:
    app = make_app(theme=theme)
    async with app.run_test() as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "delta" in eyes.screen(pilot))
        table = fleet_screen(pilot).table
        before = str(table.get_row_at(2)[1].style)
        assert before == app.frame.look.tones.worth_a_look
        app.theme = "cortex-light" if theme == "cortex-dark" else "cortex-dark"
        await eyes.until(pilot, lambda: str(table.get_row_at(2)[1].style) != before)


async def test_a_click_on_a_key_presses_it(
    make_app: MakeApp, feed: Any, told: Any, eyes: Any
) -> None:
    async with make_app().run_test() as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "Pause" in eyes.screen(pilot))
        line = eyes.screen(pilot).splitlines()[-1]
        await pilot.click("#keys", offset=(line.index("Pause"), 0))
        await eyes.until(pilot, lambda: "PAUSED" in eyes.screen(pilot))


SCREENS = [Hint(str(n), name, str(n)) for n, name in enumerate(("Fleet", "Models", "Chat"), 1)]
MIDDLE = [Hint("l", "Load", "l"), Hint("u", "Unload", "u")]
LAST = [Hint("q", "Quit", "q")]


@pytest.mark.parametrize(
    ("num_cells", "shown"),
    [
        (80, "1 Fleet 2 Models 3 Chat l Load u Unload q Quit"),
        (52, "1 Fleet 2 Models 3 Chat l Load q Quit"),
        (42, "1-3 Screens l Load u Unload q Quit"),
        (35, "1-3 Screens l Load q Quit"),
        (5, "1-3 Screens q Quit"),
    ],
)
def test_the_line_of_keys_shows_as_many_as_fit(num_cells: int, shown: str) -> None:
    found = fitting(SCREENS, MIDDLE, LAST, num_cells)
    assert " ".join(f"{hint.shown} {hint.says}" for hint in found) == shown


@pytest.mark.parametrize("text", ["f", "?", "F", "ctrl+f", "f5", "space", "+", "ctrl++"])
def test_these_are_keys(text: str) -> None:
    assert is_key(text)


@pytest.mark.parametrize("text", ["", "ff", "ctrl+", "hyper+f", "\n", "f25", "ctrl+f,"])
def test_these_are_none(text: str) -> None:
    assert not is_key(text)
