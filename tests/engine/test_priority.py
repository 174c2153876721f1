"""Who goes first where requests wait: priority, then arrival, and nobody waits for ever."""

from __future__ import annotations

import pytest
import torch

from cortex.engine.cache.store import PrefixStore
from cortex.engine.events import NewToken
from cortex.engine.messages import Wanted
from cortex.engine.models.base import ServableModel
from cortex.engine.recall import HostStore
from cortex.engine.scheduler import AGING_S
from cortex.engine.service import ModelService
from cortex.engine.serving import Capacity, make_service
from cortex.engine.types import MAX_PRIORITY, MIN_PRIORITY, Prompt, Sampling

ONE_AT_A_TIME = Capacity(
    num_pages=20, num_slots=1, grid_tokens=48, encoder_bytes=1 << 20, page_tokens=16
)


@pytest.fixture
def service(golden_model: ServableModel) -> ModelService:
    store: HostStore = PrefixStore(1 << 20)
    return make_service(golden_model, 1033, torch.device("cpu"), ONE_AT_A_TIME, store, "model")


def ask(service: ModelService, name: str, priority: int, now_s: float = 0.0) -> None:
    greedy = Sampling(seed=0, temperature=0.0)
    prompt = Prompt((1, 2, 3), (), (), greedy, 3, (), stop_token_ids=())
    service.add(Wanted(name, 0, priority=priority), prompt, now_s)


def order_of_ends(service: ModelService, now_s: float = 0.0) -> list[str]:
    ends: list[str] = []
    for _ in range(100):
        if not service.has_work:
            return ends
        events = service.step(now_s)
        ends += [e.request_id for e in events if isinstance(e, NewToken) and e.finish]
    raise AssertionError("the service never came to an end")


def test_the_lower_number_goes_first_and_equals_in_the_order_of_their_coming(
    service: ModelService,
) -> None:
    for name, priority in (("a", 0), ("late", 5), ("b", 0), ("soon", -1)):
        ask(service, name, priority)
    assert order_of_ends(service) == ["soon", "a", "b", "late"]


def test_a_request_that_runs_is_not_thrown_out_for_a_more_pressing_one(
    service: ModelService,
) -> None:
    ask(service, "running", 5)
    service.step(0.0)
    ask(service, "pressing", -5)
    assert order_of_ends(service) == ["running", "pressing"]


def test_the_least_pressing_request_has_waited_long_enough_one_day(service: ModelService) -> None:
    ask(service, "patient", MAX_PRIORITY)
    day_s = (MAX_PRIORITY - MIN_PRIORITY) * AGING_S
    ask(service, "pressing", MIN_PRIORITY, now_s=day_s)
    assert order_of_ends(service, now_s=day_s) == ["patient", "pressing"]
