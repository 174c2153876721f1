"""Requests come in between the steps of others, and hold these up for a moment only."""

from __future__ import annotations

import queue
import threading
from itertools import pairwise
from pathlib import Path

import torch

from cortex.engine.events import DeviceEvent, ModelLoaded, NewToken, Started
from cortex.engine.frames import pack_value
from cortex.engine.loop import DeviceLoop
from cortex.engine.messages import Generate, Load
from cortex.engine.types import Prompt, Sampling
from cortex.engine.wishes import Wishes


def long_to_take_in(name: str) -> Generate:
    """A megabyte, which is few tokens."""
    greedy = Sampling(seed=0, temperature=0.0)
    prompt = Prompt((5, 6, 7), (), (), greedy, 12, (), (), echo="x" * (1 << 20))
    return Generate(name, 1, "a", pack_value(prompt))


def test_a_step_comes_between_requests_that_take_long_to_take_in(golden: Path) -> None:
    said: queue.SimpleQueue[DeviceEvent] = queue.SimpleQueue()

    def hear(events: tuple[DeviceEvent, ...]) -> None:
        if any(isinstance(event, ModelLoaded) for event in events):
            for name in "rst":  # at once: the device's thread is here
                loop.submit(long_to_take_in(name))
        for event in events:
            said.put(event)

    loop = DeviceLoop(torch.device("cpu"), None, Wishes(), hear)
    loop.submit(Load("1", "a", str(golden / "qwen3"), 100 << 20))
    thread = threading.Thread(target=loop.run)
    thread.start()
    kinds: list[type[DeviceEvent]] = []
    while kinds.count(NewToken) < 36:
        kinds.append(type(said.get(timeout=60)))
    loop.close()
    thread.join(60)

    assert kinds.count(Started) == 3
    assert (Started, Started) not in pairwise(kinds)
