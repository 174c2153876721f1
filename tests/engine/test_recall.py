"""What a service lets its host memory know of a prompt, and saves of who gives way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from cortex.engine.cache.store import PrefixStore
from cortex.engine.events import NewToken
from cortex.engine.messages import Waiting
from cortex.engine.models.base import ServableModel
from cortex.engine.recall import HostStore
from cortex.engine.scheduler import Scheduler
from cortex.engine.sequence import Sequence
from cortex.engine.types import Prompt
from tests.engine.asking import ROOMY, opened, prompt_of

FEW_PAGES = replace(ROOMY, num_pages=17)


def counting(start: int, num_tokens: int = 100, **changes: Any) -> Prompt:
    return prompt_of(range(start, start + num_tokens), **{"max_tokens": 8, **changes})


def test_where_the_answer_to_a_question_begins_is_remembered_for_the_next(
    golden_model: ServableModel,
) -> None:
    store: HostStore = PrefixStore(1 << 24)
    asked = opened(golden_model, store=store)
    asked.ask(counting(1, 90, boundaries=(10, 20, 30, 40, 50, 60), answer_start=30))

    nodes = store.tree(("model", True), None).checked_nodes()
    assert [node.end for node in nodes if node.begins_answer] == [30]
    changed = (*range(1, 31), *range(100, 140))
    changed_name = asked.ask(prompt_of(changed, boundaries=(10, 20, 30)))
    assert asked.num_cached[changed_name] == 30


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
    prompts = {name: counting(at, max_tokens=60) for name, at in (("a", 1), ("b", 200))}
    alone = {n: opened(model, store_bytes=0).answer(p) for n, p in prompts.items()}
    asked = opened(model, FEW_PAGES, store=store)
    for name, prompt in prompts.items():
        asked.add(name, prompt)
    asked.run()

    assert asked.answers == alone
    assert asked.service.counts.num_preemptions == 1
    assert (store.used_bytes, store.reserved_bytes) == (both_bytes, 0)
    store.check_integrity()


def test_who_is_cancelled_while_it_waits_holds_nothing_that_is_remembered(
    golden_model: ServableModel,
) -> None:
    store: HostStore = PrefixStore(1 << 24)
    asked = opened(golden_model, FEW_PAGES, store=store)
    for name, at in (("a", 1), ("b", 200)):
        asked.add(name, counting(at, max_tokens=60))
    while not asked.service.counts.num_preemptions:
        asked.step()
    assert store.reserve((1 << 24) - store.reserved_bytes) is None
    asked.cancel("b")
    asked.run()
    assert store.reserve(1 << 24) is not None


def test_while_answers_are_written_long_conversations_come_back_one_in_a_step(
    golden_model: ServableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = opened(golden_model)
    asked.ask(counting(1))
    asked.add("writes", counting(1, 10, max_tokens=40))
    asked.step()
    for name in ("a", "b", "c"):
        asked.add(name, counting(1))
    monkeypatch.setattr("cortex.engine.service.RESTORED_TOKENS", 90)

    steps = [asked.step() for _ in range(3)]

    read = [
        [e.request_id for e in s if isinstance(e, Waiting) and e.stage.name == "prefill"]
        for s in steps
    ]
    assert read == [["a"], ["b"], ["c"]]


def test_where_nobody_writes_all_who_gave_way_come_back_at_once(
    golden_model: ServableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = opened(golden_model)
    for name in ("a", "b", "c"):
        asked.add(name, counting(1, max_tokens=40))
    for _ in range(12):
        asked.step()
    monkeypatch.setattr("cortex.engine.service.RESTORED_TOKENS", 90)

    def everybody(scheduler: Scheduler, now_s: float) -> Sequence | None:
        return next(iter(scheduler.running), None)

    monkeypatch.setattr(Scheduler, "victim", everybody)

    events = asked.step()

    assert asked.service.counts.num_preemptions == 3
    assert {e.request_id for e in events if isinstance(e, NewToken)} == {"a", "b", "c"}
