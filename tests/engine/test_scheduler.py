"""Who is admitted, where one begins like another."""

from __future__ import annotations

from cortex.engine.cache.pages import PageAllocator
from cortex.engine.messages import Generate
from cortex.engine.models.base import ModelShape
from cortex.engine.models.memory import AttentionShape, MemoryShape
from cortex.engine.scheduler import Scheduler
from cortex.engine.sequence import Sequence, open_sequence
from cortex.engine.types import Prompt, Sampling

SHAPE = ModelShape(320, 8, MemoryShape({0: AttentionShape(1, 8)}, {}))


def sequence(name: str, token_ids: range) -> Sequence:
    prompt = Prompt(tuple(token_ids), (), (), Sampling(seed=0), 8, (), ())
    return open_sequence(
        Generate(name, 0, "model", b""), prompt, SHAPE,
        capacity_tokens=1000, grid_tokens=50, now_s=0.0,
    )  # fmt: skip


def scheduler() -> Scheduler:
    return Scheduler(PageAllocator(100), page_tokens=16, num_slots=8, step_tokens=50)


def test_one_waits_for_the_same_prompt_until_that_is_read() -> None:
    line, leader, follower = scheduler(), sequence("a", range(120)), sequence("b", range(120))
    line.add(leader)
    line.add(follower)

    assert line.admit(0.0) is leader
    assert line.admit(0.0) is None
    leader.num_computed = 100  # the last cut: remembered now
    assert line.admit(0.0) is follower


def test_nobody_waits_for_one_that_would_go_behind_it() -> None:
    line, leader, urgent = scheduler(), sequence("a", range(120)), sequence("b", range(120))
    urgent.priority = -1
    line.add(leader)
    assert line.admit(0.0) is leader
    line.add(urgent)

    assert line.admit(0.0) is urgent


def test_nobody_waits_for_a_beginning_too_short_to_matter() -> None:
    line, leader = scheduler(), sequence("a", range(70))
    leader.num_cached = leader.num_computed = 40
    line.add(leader)
    line.add(sequence("b", range(70)))

    assert line.admit(0.0) is leader
    assert line.admit(0.0) is not None
