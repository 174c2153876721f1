"""How the screens of the models and the requests look, against pictures somebody has looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from cortex.peer.errors import NoPeer
from cortex.tui.app import CortexApp

MakeApp = Callable[..., CortexApp]
Open = Callable[[Pilot[None], str, str], Any]


async def test_the_models(dress: Any, opened: Open, looks_like: Any) -> None:
    async with dress.start() as pilot:
        await opened(pilot, "2", "broken-2b")
        await pilot.press("j", "j")
        await looks_like(pilot, f"models-{dress.name}")


async def test_a_plan(
    dress: Any, opened: Open, told: Any, acting: Any, looks_like: Any, eyes: Any
) -> None:
    refusals = [told.refusal(name, "too large", "50.3 GiB short") for name in ("borea", "cirrus")]
    acting.answers["POST /models/plan"] = told.planned(
        "qwen3.6-35b-a3b", told.plan("atlas"), refusals
    )
    async with dress.start() as pilot:
        await opened(pilot, "2", "broken-2b")
        await pilot.press("G", "k", "l")
        await eyes.until(pilot, lambda: "This is only a plan" in eyes.screen(pilot))
        await looks_like(pilot, f"plan-{dress.name}")


async def test_an_unload(make_app: MakeApp, opened: Open, looks_like: Any, eyes: Any) -> None:
    async with make_app().run_test() as pilot:
        await opened(pilot, "2", "broken-2b")
        await pilot.press("u")
        await eyes.until(pilot, lambda: "breaks off" in eyes.screen(pilot))
        await looks_like(pilot, "unload-80x24")


async def test_the_requests(dress: Any, opened: Open, looks_like: Any) -> None:
    async with dress.start() as pilot:
        await opened(pilot, "3", "7f317f")
        await pilot.press("j", "j")
        await looks_like(pilot, f"requests-{dress.name}")


@pytest.mark.parametrize(
    ("screen", "key", "words"), [("models", "2", "--models DIR"), ("requests", "3", "Nothing is")]
)
async def test_nothing(
    make_app: MakeApp,
    opened: Open,
    acting: Any,
    looks_like: Any,
    screen: str,
    key: str,
    words: str,
) -> None:
    acting.answers |= {
        "GET /models": {"models": []},
        "GET /jobs?fleet=1": {"jobs": []},
        "GET /requests?fleet=1": {"requests": []},
    }
    async with make_app().run_test() as pilot:
        await opened(pilot, key, words)
        await looks_like(pilot, f"{screen}-empty")


@pytest.mark.parametrize(
    ("screen", "key", "words"), [("models", "2", "broken-2b"), ("requests", "3", "7f317f")]
)
async def test_a_peer_that_is_silent(
    make_app: MakeApp,
    opened: Open,
    acting: Any,
    clock: Any,
    looks_like: Any,
    eyes: Any,
    screen: str,
    key: str,
    words: str,
) -> None:
    async with make_app().run_test() as pilot:
        await opened(pilot, key, words)
        acting.answers.clear()
        silence = NoPeer("the peer at 127.0.0.1:13131 has been silent for 15 s")
        acting.answers |= {"GET /models": silence, "GET /requests?fleet=1": silence}
        clock.turn(17)
        await pilot.press("r")
        await eyes.until(pilot, lambda: "last data 17s ago" in eyes.screen(pilot))
        await looks_like(pilot, f"{screen}-lost")
