"""Steps launched before the tokens of the last ones are known give the same answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import pytest
import torch

from cortex.engine.cache.store import PrefixStore
from cortex.engine.decoding.arriving import Arrive
from cortex.engine.decoding.graphs import Capture
from cortex.engine.events import NewToken
from cortex.engine.messages import Generate, GenerateFailed
from cortex.engine.models.base import ServableModel
from cortex.engine.recall import HostStore
from cortex.engine.sampling.wishes import DrawTokens
from cortex.engine.service import ModelService
from cortex.engine.serving import Capacity, make_service
from cortex.engine.types import Prompt, Sampling

ROOMY = Capacity(num_pages=40, num_slots=4, grid_tokens=48, encoder_bytes=1 << 20, page_tokens=16)
GREEDY = Sampling(seed=0, temperature=0.0)


class Counting(Protocol):
    num_launched: int
    num_ahead: int

    def __call__(self, drawn: torch.Tensor) -> Callable[[], list[int]]: ...


@dataclass
class Asked:
    """Requests to a service, and what came of them: tokens, and how each ended."""

    service: ModelService
    answers: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    ends: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, name: str, prompt: Prompt) -> None:
        self.answers[name] = []
        self.service.add(Generate(name, 0, "model", b""), prompt, now_s=0.0)

    def take(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, NewToken):
                assert event.request_id not in self.ends
                if event.token_id is not None:
                    self.answers[event.request_id].append(event.token_id)
                if event.finish is not None:
                    self.ends[event.request_id] = event.finish
            elif isinstance(event, GenerateFailed):
                self.ends[event.request_id] = event.error.message

    def step(self) -> None:
        self.take(self.service.step(now_s=0.0))


def opened(
    model: ServableModel,
    draw_tokens: DrawTokens,
    capture: Capture | None = None,
    arrive: Arrive | None = None,
    capacity: Capacity = ROOMY,
) -> Asked:
    store: HostStore = PrefixStore(1 << 22)
    service = make_service(
        model, 1033, torch.device("cpu"), capacity, store, "model",
        draw_tokens=draw_tokens, capture=capture, arrive=arrive,
    )  # fmt: skip
    return Asked(service)


def prompt_of(number: int, num_tokens: int = 5, **changes: Any) -> Prompt:
    token_ids = tuple(3 + (number * 37 + at * 11) % 900 for at in range(num_tokens))
    prompt = Prompt(token_ids, (), (), GREEDY, 12, (), stop_token_ids=())
    return msgspec.structs.replace(prompt, **changes)


@pytest.mark.parametrize("has_graphs", [False, True])
def test_a_step_is_launched_before_the_last_ones_token_is_known(
    model: ServableModel,
    draw_tokens: DrawTokens,
    capture: Capture,
    arrivals: Counting,
    has_graphs: bool,
) -> None:
    plain = opened(model, draw_tokens)
    ahead = opened(model, draw_tokens, capture if has_graphs else None, arrivals)
    for asked in (plain, ahead):
        asked.add("a", prompt_of(1))
        for _ in range(12):
            asked.step()
        assert not asked.service.has_work

    assert ahead.answers == plain.answers and ahead.ends == {"a": "length"}
    # The prompt gives the first token. No step is launched beyond the last.
    assert arrivals.num_launched == 11
    # A graph is made at a step's second time, and launched ahead of that one's token.
    assert arrivals.num_ahead == (9 if has_graphs else 10)
