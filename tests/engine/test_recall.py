"""What a service lets its host memory know of a prompt, and saves of who gives way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from cortex.engine.cache.pools import KeyValues, Pools
from cortex.engine.cache.store import PrefixStore
from cortex.engine.events import DeviceEvent, NewToken
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


def full(*_: object) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 49.00 MiB. GPU 0 has less")


def noted(monkeypatch: pytest.MonkeyPatch, order: list[str], name: str) -> None:
    """Calls of a pool's method, from now on."""
    copy: Any = getattr(Pools, name)

    def copied(*given: Any) -> Any:
        order.append(name)
        return copy(*given)

    monkeypatch.setattr(Pools, name, copied)


@pytest.mark.parametrize("model_name", ["golden_model", "dense_model"])
def test_a_first_token_is_told_before_anything_of_its_prompt_is_copied(
    request: pytest.FixtureRequest,
    model_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model: ServableModel = request.getfixturevalue(model_name)
    order: list[str] = []
    for name in ("copy_out", "copy_states_out"):
        noted(monkeypatch, order, name)
    asked = opened(model, is_exact=False)
    asked.add("a", counting(1, 90, boundaries=(50,), max_tokens=1))

    def tell(events: list[DeviceEvent]) -> None:
        order.extend("token" for event in events if isinstance(event, NewToken))

    assert asked.service.step(0.0, tell) == []

    assert order[0] == "token" and "copy_out" in order
    again = asked.ask(counting(1, 90, boundaries=(50,)))
    assert asked.num_cached[again] == 89
    assert asked.answers[again] == opened(model).answer(counting(1, 90))


@pytest.mark.parametrize("is_exact", [True, False])
@pytest.mark.parametrize("model_name", ["golden_model", "dense_model"])
def test_of_a_chat_as_large_as_a_step_the_last_chunks_are_copied_behind_the_token(
    request: pytest.FixtureRequest,
    model_name: str,
    is_exact: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its last boundary lies a few tokens before its end."""
    model: ServableModel = request.getfixturevalue(model_name)
    order: list[str] = []
    for name in ("copy_out", "copy_states_out"):
        noted(monkeypatch, order, name)
    asked = opened(model, replace(ROOMY, step_tokens=30), is_exact=is_exact)
    asked.add("a", counting(1, 90, boundaries=(88,), max_tokens=1))

    def tell(events: list[DeviceEvent]) -> None:
        order.extend("token" for event in events if isinstance(event, NewToken))

    asked.service.step(0.0, tell)
    order.clear()  # the chunk up to the grid
    asked.service.step(0.0, tell)

    assert order[0] == "token" and "copy_out" in order


@pytest.mark.parametrize("has_memory", [True, False])
@pytest.mark.parametrize("is_exact", [True, False])
@pytest.mark.parametrize("model_name", ["golden_model", "dense_model"])
def test_of_all_chunks_of_one_step_the_same_is_remembered_as_of_each_in_its_own(
    request: pytest.FixtureRequest,
    model_name: str,
    is_exact: bool,
    has_memory: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More states are noted than are kept on the device, or none can be."""
    model: ServableModel = request.getfixturevalue(model_name)
    prompts = [
        counting(1, 90, boundaries=(7, 30, 50), answer_start=30),
        counting(1, 140, boundaries=(30, 60), max_tokens=1),
        counting(400, 60, boundaries=(5, 9)),
    ]

    def remembered(step_tokens: int) -> list[tuple[int, bool, tuple[torch.Tensor, ...]]]:
        store: HostStore = PrefixStore(1 << 24)
        capacity = replace(ROOMY, step_tokens=step_tokens)
        asked = opened(model, capacity, store=store, is_exact=is_exact)
        for number, prompt in enumerate(prompts):
            asked.add(str(number), prompt)
        asked.run()
        store.check_integrity()
        split = None if model.shape.memory.linear else KeyValues.split
        nodes = store.tree(("model", is_exact), split).checked_nodes()
        return sorted(
            ((n.end, n.is_border, _tensors(n)) for n in nodes), key=lambda n: (n[0], len(n[2]))
        )

    with monkeypatch.context() as each_alone:
        each_alone.setattr("cortex.engine.scheduler.LEAST_SPARED_TOKENS", 0)
        apart = remembered(1)
    if not has_memory:
        monkeypatch.setattr(Pools, "copy_states", full)
    together = remembered(512)

    assert [node[:2] for node in together] == [node[:2] for node in apart]
    for (*_, ours), (*_, theirs) in zip(together, apart, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def _tensors(node: Any) -> tuple[torch.Tensor, ...]:
    states = () if node.state is None else node.state.layers
    return (
        *(x for state in states for x in (state.conv, state.recurrent)),
        *(x for layer in node.kv.layers for x in layer),
    )


def broken(*_: object) -> Any:
    raise ZeroDivisionError


@pytest.mark.parametrize("error", [full, broken])
def test_nobody_ends_because_a_prompt_cannot_be_remembered(
    golden_model: ServableModel,
    error: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected = opened(golden_model).answer(counting(1, 90))
    monkeypatch.setattr(Pools, "copy_out", error)
    store: HostStore = PrefixStore(1 << 24)
    asked = opened(golden_model, store=store)

    assert asked.answer(counting(1, 90)) == expected

    assert asked.service.counts.num_preemptions == store.used_bytes == 0
    store.check_integrity()
    assert "remember" in caplog.text


def test_of_few_states_the_device_has_two(
    golden_model: ServableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for name in ("copy_states", "copy_out"):
        noted(monkeypatch, order, name)
    asked = opened(golden_model, replace(ROOMY, grid_tokens=8))
    for name, start in (("a", 1), ("b", 500)):
        asked.add(name, counting(start, 40, boundaries=(8, 16, 24, 32)))

    asked.step()

    # Three are noted of each, the first of which is the end of what tools and system say.
    assert order == ["copy_states"] * 4 + ["copy_out"] * 5 + ["copy_states"] + ["copy_out"]


@pytest.mark.parametrize(
    ("store_tokens", "cut_before_last"), [(None, False), (129, True), (127, False)]
)
def test_a_prompt_that_cannot_be_remembered_is_not_cut_before_its_last_token(
    golden_model: ServableModel, store_tokens: int | None, cut_before_last: bool
) -> None:
    """None: nothing is ever remembered."""
    memory = golden_model.shape.memory
    store_bytes = 0
    if store_tokens is not None:
        token_bytes, state_bytes = (
            memory.token_bytes(torch.float32),
            memory.state_bytes(torch.float32),
        )
        store_bytes = store_tokens * token_bytes + state_bytes
    asked = opened(golden_model, store_bytes=store_bytes, is_exact=False)

    asked.ask(counting(1, 129))

    read = {event.stage.done for event in asked.waiting("prefill")}
    assert (128 in read) == cut_before_last
