"""Where a device's memory does not reach for a step, its answers begin again and stay the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import torch

from cortex.engine import service
from cortex.engine.cache.pools import Pools, States
from cortex.engine.cache.store import PrefixStore
from cortex.engine.models.base import ServableModel
from cortex.engine.recall import HostStore, Recall
from cortex.engine.runner import Runner
from cortex.engine.sampling.adjusting import TokenCounts
from cortex.engine.sequence import Sequence
from cortex.engine.serving import Capacity
from cortex.engine.types import Prompt, Sampling
from tests.engine.asking import ROOMY, opened, prompt_of


def prompts_of(num_tokens: int, max_tokens: int, names: Iterable[str]) -> dict[str, Prompt]:
    return {
        name: prompt_of([place] * num_tokens, max_tokens=max_tokens)
        for place, name in enumerate(names, start=1)
    }


def answers_to(
    model: ServableModel, prompts: dict[str, Prompt], capacity: Capacity = ROOMY
) -> dict[str, list[int | str]]:
    """Their tokens, behind which stands what kind of error ended them, if one did."""
    asked = opened(model, capacity)
    asked.may_fail = True
    for name, prompt in prompts.items():
        asked.add(name, prompt)
    asked.run()
    failed = {name: [asked.ends[name]] for name in asked.messages}
    return {name: [*answer, *failed.get(name, ())] for name, answer in asked.answers.items()}


def full(*_: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has less")


def test_answers_that_are_too_many_for_the_device_begin_again_fewer_at_a_time(
    golden_model: ServableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = prompts_of(20, 6, "abcde")
    wanted = answers_to(golden_model, prompts)
    decode, sizes = Runner.decode, list[int]()

    def for_two(runner: Runner, sequences: Iterable[Sequence]) -> dict[Sequence, torch.Tensor]:
        fed = list(sequences)
        sizes.append(len(fed))
        rows = decode(runner, fed)
        if len(fed) > 2:  # when the states of all have gone on
            full()
        return rows

    monkeypatch.setattr(Runner, "decode", for_two)

    assert answers_to(golden_model, prompts) == wanted
    assert [size for size in sizes if size > 2] == [5]


def test_after_a_while_as_many_as_before_are_tried_again_one_more_at_a_time(
    golden_model: ServableModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    prompts = prompts_of(20, 30, "abcde")
    wanted = answers_to(golden_model, prompts)
    decode, sizes = Runner.decode, list[int]()

    def short_once(runner: Runner, sequences: Iterable[Sequence]) -> dict[Sequence, torch.Tensor]:
        fed = list(sequences)
        if len(fed) == 5 and 5 not in sizes:
            sizes.append(5)
            full()
        sizes.append(len(fed))
        return decode(runner, fed)

    monkeypatch.setattr(Runner, "decode", short_once)
    monkeypatch.setattr("cortex.engine.telling._STEPS_BEFORE_MORE", 4)

    assert answers_to(golden_model, prompts) == wanted
    after = sizes[sizes.index(5) + 1 :]
    assert max(after[:4]) == 2
    assert max(after) >= 3
    told = [record.message for record in caplog.records if "again" in record.message]
    assert "at most 2 at a time" in told[0]
    assert told[1:] == [f"at most {most} answers at a time again" for most in range(3, 9)]


@pytest.mark.parametrize("which", range(1, 11))
def test_what_was_told_before_memory_was_short_for_the_next_stays_so(
    which: int, golden_model: ServableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    penalised = Sampling(seed=0, temperature=0.0, presence_penalty=0.5)
    prompts = {
        # Some end beside those that go on.
        name: msgspec.structs.replace(prompt, sampling=penalised, max_tokens=max_tokens)
        for max_tokens, (name, prompt) in enumerate(prompts_of(20, 0, "abcd").items(), start=1)
    }
    wanted = answers_to(golden_model, prompts)
    add, added = TokenCounts.add, list[int]()

    def short_once(counts: TokenCounts, token_id: int) -> None:
        add(counts, token_id)
        added.append(token_id)
        if len(added) == which:
            full()

    monkeypatch.setattr(TokenCounts, "add", short_once)

    assert answers_to(golden_model, prompts) == wanted
    assert [len(tokens) for tokens in wanted.values()] == [1, 2, 3, 4]


def test_who_is_too_much_for_the_device_alone_ends_at_the_second_time_and_nobody_else(
    golden_model: ServableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = prompts_of(20, 6, ("small", "large"))
    wanted = answers_to(golden_model, prompts)
    prefill, tried = Runner.prefill, list[int]()

    def for_small(runner: Runner, sequence: Sequence, end: int) -> torch.Tensor:
        hidden = prefill(runner, sequence, end)
        if sequence.request_id == "large":
            tried.append(end)
            full()
        return hidden

    monkeypatch.setattr(Runner, "prefill", for_small)

    answers = answers_to(golden_model, prompts)
    assert answers == {"small": wanted["small"], "large": ["insufficient_vram"]}
    assert len(tried) == 2 and tried[0] == tried[1]


def test_a_sequence_that_cannot_be_taken_up_again_begins_again(
    golden_model: ServableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = prompts_of(40, 60, "abcd")
    wanted = answers_to(golden_model, prompts)
    copy_in, failing = Pools.copy_states_in, [True]

    def fails_once(pools: Pools, slot: int, states: States) -> None:
        copy_in(pools, slot, states)
        if failing:
            failing.clear()
            full()

    monkeypatch.setattr(Pools, "copy_states_in", fails_once)

    # Room for two whole answers and the beginning of a third.
    assert answers_to(golden_model, prompts, replace(ROOMY, num_pages=17)) == wanted
    assert not failing


@pytest.mark.parametrize("copies", ["copy_out", "copy_states_out"])
def test_who_gives_way_and_cannot_be_saved_begins_again(
    copies: str, golden_model: ServableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = prompts_of(40, 60, "abcd")
    tight = replace(ROOMY, num_pages=17)
    wanted = answers_to(golden_model, prompts)
    store: HostStore = PrefixStore(1 << 24)
    asked = opened(golden_model, tight, store=store)
    suspend, num_short = Recall.suspend, 0

    def suspended_short(recall: Recall, sequence: Sequence) -> None:
        nonlocal num_short
        num_short += 1
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Pools, copies, full)
            suspend(recall, sequence)

    monkeypatch.setattr(Recall, "suspend", suspended_short)
    for name, prompt in prompts.items():
        asked.add(name, prompt)
    asked.run()

    assert asked.answers == wanted and num_short
    assert store.reserved_bytes == 0
    store.check_integrity()


@pytest.mark.parametrize("act", ["drawable", "coming_for", "row_of"])
def test_between_scores_and_their_draw_memory_may_be_short_as_well(
    act: str, golden_model: ServableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = prompts_of(20, 6, "abc")
    wanted = answers_to(golden_model, prompts)
    place = f"cortex.engine.service.{act}"
    acts, num_calls = getattr(service, act), 0

    def short_once(*args: Any, **named: Any) -> Any:
        nonlocal num_calls
        num_calls += 1
        return full() if num_calls == 5 else acts(*args, **named)

    monkeypatch.setattr(place, short_once)

    assert answers_to(golden_model, prompts) == wanted
    assert num_calls > 5
