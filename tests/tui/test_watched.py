"""What the dashboard knows, told in words."""

from __future__ import annotations

from typing import Any

from cortex.peer.onlooker.asking import Sight
from cortex.peer.onlooker.pictures import read_picture
from cortex.tui.watched import Watched


def test_an_address_that_begins_or_ends_another_is_not_taken_for_it(told: Any) -> None:
    apis = {"atlas": "10.0.0.1:1313", "borea": "10.0.0.1:13131", "cirrus": "110.0.0.1:1313"}
    fleet = told.fleet([told.peer(name, api=api) for name, api in apis.items()])
    watched = Watched(told.MOMENT, Sight(fleet, read_picture(fleet)))
    words = "{borea} left: asking {atlas}, then {cirrus}."
    said = watched.with_names(words.format(**apis))
    assert said == "borea left: asking atlas, then cirrus."
    assert Watched(told.MOMENT).with_names(said) == said
