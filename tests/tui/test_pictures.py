"""How the screen of the fleet looks, against pictures that somebody has looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cortex.tui.app import CortexApp

MakeApp = Callable[..., CortexApp]


@pytest.mark.parametrize(
    ("name", "size", "made"),
    [
        ("fleet-80x24", (80, 24), {}),
        ("fleet-120x40", (120, 40), {}),
        ("fleet-ascii", (80, 24), {"is_ascii": True}),
    ],
)
async def test_a_fleet_of_four(
    make_app: MakeApp,
    feed: Any,
    told: Any,
    eyes: Any,
    looks_like: Any,
    name: str,
    size: tuple[int, int],
    made: dict[str, Any],
) -> None:
    async with make_app(**made).run_test(size=size) as pilot:
        feed.say(told.four_peers())
        await eyes.until(pilot, lambda: "delta" in eyes.screen(pilot))
        await looks_like(pilot, name)
