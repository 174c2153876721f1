"""What the dashboard knows, told in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from cortex.peer.onlooker.asking import Sight
from cortex.peer.onlooker.feed import Seen
from cortex.peer.onlooker.happenings import Happening
from cortex.peer.onlooker.pictures import read_picture
from cortex.tui.moments import local_time
from cortex.tui.watched import Watched
from tests.time_zones import in_zone


def test_an_address_that_begins_or_ends_another_is_not_taken_for_it(told: Any) -> None:
    apis = {"atlas": "10.0.0.1:1313", "borea": "10.0.0.1:13131", "cirrus": "110.0.0.1:1313"}
    fleet = told.fleet([told.peer(name, api=api) for name, api in apis.items()])
    watched = Watched(told.MOMENT, Sight(fleet, read_picture(fleet)))
    words = "{borea} left: asking {atlas}, then {cirrus}."
    said = watched.with_names(words.format(**apis))
    assert said == "borea left: asking atlas, then cirrus."
    assert Watched(told.MOMENT).with_names(said) == said


def test_what_happened_before_midnight_is_told_with_its_day_and_its_time(told: Any) -> None:
    days = datetime(2026, 11, 22, 23, 59, 8), datetime(2026, 11, 23, 0, 1)
    before, after = (day.astimezone() for day in days)
    fleet, watched = told.fleet([told.peer("atlas")]), Watched(before)
    for when in (before, after):
        one = Happening(when.timestamp(), "atlas", "unloaded", "m", f"unloaded at {when:%H:%M}")
        watched.hear(Seen("here", Sight(fleet, read_picture(fleet), one)), when)
    assert [*watched.events(after)] == [
        "00:01:00  atlas  unloaded at 00:01",
        "Nov 22 23:59:08  atlas  unloaded at 23:59",
    ]


@pytest.fixture
def in_berlin() -> Iterator[None]:
    with in_zone("CET-1CEST,M3.5.0,M10.5.0/3"):
        yield


@pytest.mark.usefixtures("in_berlin")
def test_in_the_hour_that_comes_twice_the_newest_is_first_and_ages_are_true(told: Any) -> None:
    turned_s = datetime(2026, 10, 25, 1, 0, tzinfo=UTC).timestamp()
    before, after = local_time(turned_s - 60), local_time(turned_s + 60)
    fleet, watched = told.fleet([told.peer("atlas")]), Watched(before)
    for when, words in ((before, "loaded"), (after, "unloaded")):
        one = Happening(when.timestamp(), "atlas", "loaded", "m", words)
        watched.hear(Seen("here", Sight(fleet, read_picture(fleet), one)), when)
    assert [*watched.events(after)] == ["02:01:00  atlas  unloaded", "02:59:00  atlas  loaded"]
    assert watched.seen is not None
    assert (watched.seen - before).total_seconds() == 120
