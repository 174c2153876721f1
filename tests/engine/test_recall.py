"""What a service lets its host memory know of a prompt, and saves of who gives way."""

from __future__ import annotations

import msgspec
import torch

from cortex.engine.cache.store import PrefixStore
from cortex.engine.events import DeviceEvent, NewToken
from cortex.engine.messages import Generate
from cortex.engine.models.base import ServableModel
from cortex.engine.recall import HostStore
from cortex.engine.service import ModelService
from cortex.engine.serving import Capacity, make_service
from cortex.engine.types import Prompt, Sampling

ROOMY = Capacity(num_pages=80, num_slots=4, grid_tokens=48, encoder_bytes=1 << 20, page_tokens=16)


def open_service(
    model: ServableModel, store: HostStore, capacity: Capacity = ROOMY
) -> ModelService:
    return make_service(model, 1033, torch.device("cpu"), capacity, store, "model")


def prompt_of(num_tokens: int, **changes: object) -> Prompt:
    greedy = Sampling(seed=0, temperature=0.0)
    prompt = Prompt(tuple(range(1, num_tokens + 1)), (), (), greedy, 8, (), stop_token_ids=())
    return msgspec.structs.replace(prompt, **changes)


def ask(service: ModelService, name: str, prompt: Prompt) -> None:
    service.add(Generate(name, 0, "model", b""), prompt, 0.0)


def run(service: ModelService) -> list[DeviceEvent]:
    events: list[DeviceEvent] = []
    for _ in range(1000):
        if not service.has_work:
            return events
        events += service.step(0.0)
    raise AssertionError("the service never came to an end")


def num_cached(events: list[DeviceEvent]) -> list[int]:
    return [e.num_cached for e in events if isinstance(e, NewToken) and e.finish is not None]


def test_where_the_answer_to_a_question_begins_is_remembered_for_the_next(
    golden_model: ServableModel,
) -> None:
    store: HostStore = PrefixStore(1 << 24)
    service = open_service(golden_model, store)
    ask(service, "a", prompt_of(90, boundaries=(10, 20, 30, 40, 50, 60), answer_start=30))
    run(service)

    nodes = store.tree(("model", True), None).checked_nodes()
    assert [node.end for node in nodes if node.begins_answer] == [30]
    changed = (*range(1, 31), *range(100, 140))
    ask(service, "b", prompt_of(70, token_ids=changed, boundaries=(10, 20, 30)))
    assert num_cached(run(service)) == [30]
