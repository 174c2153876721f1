"""What a service lets its host memory know of a prompt, and saves of who gives way."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
import torch

from cortex.engine.cache.store import PrefixStore
from cortex.engine.events import DeviceEvent, NewToken
from cortex.engine.messages import Waiting, Wanted
from cortex.engine.models.base import ServableModel
from cortex.engine.recall import HostStore
from cortex.engine.scheduler import Scheduler
from cortex.engine.sequence import Sequence
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
    service.add(Wanted(name, 0), prompt, 0.0)


def run(service: ModelService) -> list[DeviceEvent]:
    events: list[DeviceEvent] = []
    for _ in range(1000):
        if not service.has_work:
            return events
        events += service.step(0.0)
    raise AssertionError("the service never came to an end")


def answers_to(service: ModelService, prompts: dict[str, Prompt]) -> dict[str, list[int]]:
    for name, prompt in prompts.items():
        ask(service, name, prompt)
    answers: dict[str, list[int]] = {name: [] for name in prompts}
    for event in run(service):
        if isinstance(event, NewToken) and event.token_id is not None:
            answers[event.request_id].append(event.token_id)
    return answers


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


@pytest.mark.parametrize("model_name", ["golden_model", "dense_model"])
def test_of_who_gives_way_what_is_remembered_is_not_saved_once_more(
    request: pytest.FixtureRequest, model_name: str
) -> None:
    model: ServableModel = request.getfixturevalue(model_name)
    token_bytes = model.shape.memory.token_bytes(torch.float32)
    state_bytes = model.shape.memory.state_bytes(torch.float32)
    # Two prompts up to their last cuts, and of one what came behind that.
    both_bytes = 2 * (96 * token_bytes + state_bytes)
    store: HostStore = PrefixStore(both_bytes + 16 * token_bytes + state_bytes)
    prompts = {
        name: prompt_of(100, token_ids=tuple(range(at, at + 100)), max_tokens=60)
        for name, at in (("a", 1), ("b", 200))
    }
    alone = {n: answers_to(open_service(model, PrefixStore(0)), {n: p}) for n, p in prompts.items()}
    service = open_service(model, store, replace(ROOMY, num_pages=17))

    assert answers_to(service, prompts) == alone["a"] | alone["b"]

    assert service.counts.num_preemptions == 1
    assert (store.used_bytes, store.reserved_bytes) == (both_bytes, 0)
    store.check_integrity()


def test_who_is_cancelled_while_it_waits_holds_nothing_that_is_remembered(
    golden_model: ServableModel,
) -> None:
    store: HostStore = PrefixStore(1 << 24)
    service = open_service(golden_model, store, replace(ROOMY, num_pages=17))
    for name, at in (("a", 1), ("b", 200)):
        ask(service, name, prompt_of(100, token_ids=tuple(range(at, at + 100)), max_tokens=60))
    while not service.counts.num_preemptions:
        service.step(0.0)
    assert store.reserve((1 << 24) - store.reserved_bytes) is None
    service.cancel("b", 0)
    run(service)
    assert store.reserve(1 << 24) is not None


def test_while_answers_are_written_long_conversations_come_back_one_in_a_step(
    golden_model: ServableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = open_service(golden_model, PrefixStore(1 << 24))
    ask(service, "before", prompt_of(100))
    run(service)
    ask(service, "writes", prompt_of(10, max_tokens=40))
    service.step(0.0)
    for name in ("a", "b", "c"):
        ask(service, name, prompt_of(100))
    monkeypatch.setattr("cortex.engine.service.RESTORED_TOKENS", 90)

    steps = [service.step(0.0) for _ in range(3)]

    read = [
        [e.request_id for e in s if isinstance(e, Waiting) and e.stage.name == "prefill"]
        for s in steps
    ]
    assert read == [["a"], ["b"], ["c"]]


def test_where_nobody_writes_all_who_gave_way_come_back_at_once(
    golden_model: ServableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = open_service(golden_model, PrefixStore(1 << 24))
    for name in ("a", "b", "c"):
        ask(service, name, prompt_of(100, max_tokens=40))
    for _ in range(12):
        service.step(0.0)
    monkeypatch.setattr("cortex.engine.service.RESTORED_TOKENS", 90)

    def everybody(scheduler: Scheduler, now_s: float) -> Sequence | None:
        return next(iter(scheduler.running), None)

    monkeypatch.setattr(Scheduler, "victim", everybody)

    events = service.step(0.0)

    assert service.counts.num_preemptions == 3
    assert {e.request_id for e in events if isinstance(e, NewToken)} == {"a", "b", "c"}
