"""How the screens of the fleet and of a peer look, against pictures that somebody has looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from cortex.tui.app import CortexApp

MakeApp = Callable[..., CortexApp]
Seen = Callable[[Pilot[None]], Any]


@pytest.fixture
def seen(feed: Any, told: Any, acting: Any, eyes: Any) -> Seen:
    """A fleet of four, whose first peer has had ups and downs."""

    async def see(pilot: Pilot[None]) -> None:
        app = pilot.app
        assert isinstance(app, CortexApp)
        acting.answers["GET /fleet/peers/" + "at" * 8] = told.closely("atlas")
        feed.say(told.four_peers(), happened="unloaded qwen3.5-9b after 10 min idle")
        await eyes.until(pilot, lambda: "reuse 63%" in eyes.screen(pilot))
        course = app.frame.watched.course("at" * 8)
        course.tokens_per_s.extend(abs(number % 40 - 20) * 90 for number in range(60))
        course.waiting.extend(number % 7 // 5 for number in range(60))
        app.frame.watched.beat()
        await pilot.press("r")

    return see


async def test_a_fleet(dress: Any, seen: Seen, looks_like: Any) -> None:
    async with dress.start() as pilot:
        await seen(pilot)
        await looks_like(pilot, f"fleet-{dress.name}")


@pytest.mark.parametrize(
    ("name", "size", "theme"),
    [
        ("160x45", (160, 45), "cortex-dark"),
        ("light", (80, 24), "cortex-light"),
        ("ansi", (80, 24), "ansi-dark"),
    ],
)
async def test_a_fleet_with_much_room_and_in_other_colours(
    make_app: MakeApp, seen: Seen, looks_like: Any, name: str, size: tuple[int, int], theme: str
) -> None:
    async with make_app(theme=theme).run_test(size=size) as pilot:
        await seen(pilot)
        await looks_like(pilot, f"fleet-{name}")


async def test_a_peer_in_full(dress: Any, seen: Seen, eyes: Any, looks_like: Any) -> None:
    async with dress.start() as pilot:
        await seen(pilot)
        await pilot.press("enter")
        await eyes.until(pilot, lambda: "kept back" in eyes.screen(pilot))
        await looks_like(pilot, f"peer-{dress.name}")


async def test_the_palette(dress: Any, seen: Seen, eyes: Any, looks_like: Any) -> None:
    async with dress.start() as pilot:
        await seen(pilot)
        await pilot.press("ctrl+p", *"load")
        await eyes.until(pilot, lambda: "key u" in eyes.screen(pilot))
        await looks_like(pilot, f"palette-{dress.name}")


@pytest.mark.parametrize(("screen", "keys"), [("fleet", ()), ("peer", ("enter",))])
async def test_a_fleet_that_is_lost(
    make_app: MakeApp,
    feed: Any,
    seen: Seen,
    eyes: Any,
    looks_like: Any,
    screen: str,
    keys: tuple[str, ...],
) -> None:
    async with make_app().run_test() as pilot:
        await seen(pilot)
        await pilot.press(*keys)
        await eyes.until(pilot, lambda: not keys or "kept back" in eyes.screen(pilot))
        feed.lose()
        await eyes.until(pilot, lambda: "last data" in eyes.screen(pilot))
        await looks_like(pilot, f"{screen}-lost")


async def test_a_fleet_as_it_was_before(
    make_app: MakeApp, feed: Any, before: Any, eyes: Any, looks_like: Any
) -> None:
    async with make_app(before=before).run_test() as pilot:
        feed.lose(None)
        await eyes.until(pilot, lambda: "trying again" in eyes.screen(pilot))
        await looks_like(pilot, "fleet-before")


async def test_no_fleet_yet(
    make_app: MakeApp, feed: Any, clock: Any, eyes: Any, looks_like: Any
) -> None:
    async with make_app().run_test() as pilot:
        clock.turn(4)
        feed.lose(None)
        await eyes.until(pilot, lambda: "for 4 s" in eyes.screen(pilot))
        await looks_like(pilot, "fleet-empty")


async def test_without_colours(
    make_app: MakeApp, seen: Seen, looks_like: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    async with make_app().run_test() as pilot:
        await seen(pilot)
        await looks_like(pilot, "fleet-no-color")


async def test_the_list_of_keys(make_app: MakeApp, seen: Seen, eyes: Any, looks_like: Any) -> None:
    async with make_app().run_test() as pilot:
        await seen(pilot)
        await pilot.press("question_mark")
        await eyes.until(pilot, lambda: "fleet.load" in eyes.screen(pilot))
        await looks_like(pilot, "keys")


@pytest.mark.parametrize("press", [("ctrl+p",), ("question_mark",), ("c",), ("slash",), ("l",)])
async def test_a_console_gets_nothing_but_ascii_in_what_opens_too(
    make_app: MakeApp, seen: Seen, eyes: Any, press: tuple[str, ...]
) -> None:
    async with make_app(is_ascii=True).run_test(notifications=True) as pilot:
        await seen(pilot)
        before = eyes.screen(pilot)
        await pilot.press(*press)
        await eyes.until(pilot, lambda: eyes.screen(pilot) != before)
        text = eyes.screen(pilot)
        assert text.isascii(), {char for char in text if not char.isascii()}
