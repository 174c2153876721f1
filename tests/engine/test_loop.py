"""Requests come in between the steps of others, and hold these up for a moment only."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from msgspec import Raw
from msgspec.structs import replace

from cortex.engine.events import DeviceEvent, ModelLoaded, NewToken, Started
from cortex.engine.frames import pack_value
from cortex.engine.loop import DeviceLoop, Job
from cortex.engine.messages import (
    Cancel,
    Generate,
    GenerateFailed,
    Load,
    Unload,
    Unloaded,
    Waiting,
    Wanted,
)
from cortex.engine.types import Prompt, Sampling
from cortex.engine.wishes import Wishes


def request(name: str, token_ids: tuple[int, ...], priority: int = 0) -> Generate:
    greedy = Sampling(seed=0, temperature=0.0)
    prompt = Prompt(token_ids, (), (), greedy, 12, (), ())
    return Generate("a", (Wanted(name, 1, priority=priority),), Raw(pack_value(prompt)))


def two_answers(token_ids: tuple[int, ...]) -> Generate:
    return replace(request("", token_ids), wanted=(Wanted("r.0", 1), Wanted("r.1", 1, choice=1)))


def long_to_take_in(name: str) -> Generate:
    """More than the model reads: it is refused when its numbers were read."""
    return request(name, (70_000,) * 250_000)


def heard(
    golden: Path,
    jobs: list[Job],
    last: type[DeviceEvent],
    count: int,
    on_handed: Callable[[tuple[DeviceEvent, ...]], None] = lambda _: None,
) -> list[DeviceEvent]:
    """What is said of jobs that come at once, up to so many of the last."""
    said: queue.SimpleQueue[DeviceEvent] = queue.SimpleQueue()

    def hear(events: tuple[DeviceEvent, ...]) -> None:
        if any(isinstance(event, ModelLoaded) for event in events):
            for job in jobs:  # at once: the device's thread is here
                loop.submit(job)
        on_handed(events)
        for event in events:
            said.put(event)

    loop = DeviceLoop(torch.device("cpu"), None, Wishes(), hear)
    loop.submit(Load("1", "a", str(golden / "qwen3"), 100 << 20))
    thread = threading.Thread(target=loop.run)
    thread.start()
    events: list[DeviceEvent] = []
    while sum(isinstance(event, last) for event in events) < count:
        events.append(said.get(timeout=60))
    loop.close()
    thread.join(60)
    return events


def test_a_step_comes_between_requests_that_take_long_to_take_in(golden: Path) -> None:
    jobs: list[Job] = [long_to_take_in("r"), long_to_take_in("s"), request("t", (5, 6, 7), -1)]

    kinds = [type(event) for event in heard(golden, jobs, NewToken, 12)]

    # The most pressing is first, though it came last.
    assert kinds.index(Started) < kinds.index(GenerateFailed)
    assert kinds.count(GenerateFailed) == 2
    assert (GenerateFailed, GenerateFailed) not in pairwise(kinds)


def test_that_a_prompt_is_begun_is_handed_over_before_it_is_read(golden: Path) -> None:
    handed: list[tuple[DeviceEvent, ...]] = []
    heard(golden, [request("t", (5, 6, 7))], NewToken, 12, handed.append)

    done = [
        [event.stage.done for event in events if isinstance(event, Waiting)] for events in handed
    ]

    assert [each for each in done if each] == [[0], [3]]


def test_what_is_no_request_waits_for_none(golden: Path) -> None:
    jobs: list[Job] = [long_to_take_in("r"), long_to_take_in("s"), Unload("2", "a")]

    kinds = [type(event) for event in heard(golden, jobs, GenerateFailed, 2)]

    assert kinds[-3:] == [Unloaded, GenerateFailed, GenerateFailed]


def test_request_that_is_cancelled_before_it_was_taken_in_is_told_so(golden: Path) -> None:
    jobs: list[Job] = [long_to_take_in("r"), request("s", (5, 6, 7)), Cancel("s", 1)]

    events = heard(golden, jobs, GenerateFailed, 1)

    assert [e.finish for e in events if isinstance(e, NewToken)] == ["cancelled"]


def test_one_of_two_answers_to_a_prompt_is_cancelled_and_the_other_goes_on(golden: Path) -> None:
    jobs: list[Job] = [two_answers((5, 6, 7)), Cancel("r.0", 1)]

    ends = [
        (event.request_id, event.finish)
        for event in heard(golden, jobs, NewToken, 13)
        if isinstance(event, NewToken) and event.finish
    ]

    assert ends == [("r.0", "cancelled"), ("r.1", "length")]


def test_answers_to_a_prompt_that_is_too_long_are_each_refused(golden: Path) -> None:
    jobs: list[Job] = [two_answers((5,) * 250_000)]

    events = heard(golden, jobs, GenerateFailed, 2)

    refused = [event.request_id for event in events if isinstance(event, GenerateFailed)]
    assert refused == ["r.0", "r.1"]
