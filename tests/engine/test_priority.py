"""Who goes first where requests wait: priority, then arrival, and nobody waits for ever."""

from __future__ import annotations

import pytest

from cortex.engine.models.base import ServableModel
from cortex.engine.scheduler import AGING_S
from cortex.engine.serving import Capacity
from cortex.engine.types import MAX_PRIORITY, MIN_PRIORITY
from tests.engine.asking import Asked, opened, prompt_of

ONE_AT_A_TIME = Capacity(
    num_pages=20, num_slots=1, grid_tokens=48, encoder_bytes=1 << 20, page_tokens=16
)


@pytest.fixture
def asked(golden_model: ServableModel) -> Asked:
    return opened(golden_model, ONE_AT_A_TIME)


def ask(asked: Asked, name: str, priority: int) -> None:
    asked.add(name, prompt_of([1, 2, 3], max_tokens=3), priority=priority)


def order_of_ends(asked: Asked) -> list[str]:
    asked.run()
    return list(asked.ends)


def test_the_lower_number_goes_first_and_equals_in_the_order_of_their_coming(
    asked: Asked,
) -> None:
    for name, priority in (("a", 0), ("late", 5), ("b", 0), ("soon", -1)):
        ask(asked, name, priority)
    assert order_of_ends(asked) == ["soon", "a", "b", "late"]


def test_a_request_that_runs_is_not_thrown_out_for_a_more_pressing_one(
    asked: Asked,
) -> None:
    ask(asked, "running", 5)
    asked.step()
    ask(asked, "pressing", -5)
    assert order_of_ends(asked) == ["running", "pressing"]


def test_the_least_pressing_request_has_waited_long_enough_one_day(asked: Asked) -> None:
    ask(asked, "patient", MAX_PRIORITY)
    asked.now_s = (MAX_PRIORITY - MIN_PRIORITY) * AGING_S
    ask(asked, "pressing", MIN_PRIORITY)
    assert order_of_ends(asked) == ["patient", "pressing"]
