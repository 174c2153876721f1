"""What a script may say of harm, and what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from cortex.engine.errors import DevicePoisoned, InvalidRequest
from cortex.engine.fake_harm import Harm, read_harm


def test_harm_is_read_with_its_defaults() -> None:
    assert read_harm({"how": "kill", "at": 3}) == Harm("kill", 3, epochs=1, word="")
    full = {"how": "hang", "at": "load", "epochs": 2, "word": "w"}
    assert read_harm(full) == Harm("hang", "load", 2, "w")


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {"how": "kill"},
        {"how": "drown", "at": 1},
        {"how": "kill", "at": -1},
        {"how": "kill", "at": True},
        {"how": "kill", "at": "start"},
        {"how": "kill", "at": 1, "epochs": "2"},
        {"how": "kill", "at": 1, "word": 7},
        {"how": "kill", "at": 1, "when": 2},
    ],
)
def test_harm_that_cannot_happen_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="harm"):
        read_harm(value)


async def test_poison_is_raised_where_the_engine_raises_it() -> None:
    with pytest.raises(DevicePoisoned):
        await Harm("poison", 1).strike()
