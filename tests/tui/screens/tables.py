"""The table of the screen that is shown."""

from __future__ import annotations

from typing import Any

from textual.pilot import Pilot

from cortex.tui.widgets.live_table import LiveTable


def table_of(pilot: Pilot[None]) -> LiveTable[Any]:
    return pilot.app.screen.query_one(LiveTable)  # pyright: ignore[reportUnknownVariableType]


def rows(pilot: Pilot[None]) -> list[str]:
    """What stands first in each."""
    table = table_of(pilot)
    return [str(table.get_row_at(at)[0]) for at in range(table.row_count)]
