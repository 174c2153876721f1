"""Requests to an engine's service, computed step by step, and all that came of them.

Knows no golden answers and no tight memory: those are the tests' own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch

from cortex.engine.cache.store import PrefixStore
from cortex.engine.events import DeviceEvent, NewToken
from cortex.engine.images import prepare_image
from cortex.engine.messages import GenerateFailed, ModelStatus, Pooled, Waiting, Wanted
from cortex.engine.models.base import ServableModel
from cortex.engine.preprocessor import PixelBudget, read_preprocessor
from cortex.engine.recall import HostStore
from cortex.engine.service import ModelService
from cortex.engine.serving import Capacity, make_service
from cortex.engine.status import ModelCounts
from cortex.engine.types import Prompt, Sampling
from cortex.engine.weights import read_tensors

CPU = torch.device("cpu")
TOKENIZER_SIZE = 1033
ROOMY = Capacity(num_pages=80, num_slots=8, grid_tokens=48, encoder_bytes=1 << 20, page_tokens=16)


@dataclass
class Asked:
    """What is told of each request is asked by its name. Nothing may come behind an end, and no
    end may be a failure unless it `may_fail`. An end is a finish, "pooled", or an error's code.
    """

    service: ModelService
    may_fail: bool = False
    now_s: float = 0.0
    events: list[DeviceEvent] = field(default_factory=list[DeviceEvent])
    answers: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    ends: dict[str, str] = field(default_factory=dict[str, str])
    num_cached: dict[str, int] = field(default_factory=dict[str, int])
    vectors: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def add(
        self, name: str, prompt: Prompt, resume: tuple[int, ...] = (), priority: int = 0
    ) -> None:
        assert name not in self.answers
        wanted = Wanted(name, 0, resume, priority=priority)
        self.service.add(wanted, prompt, self.now_s)
        self.answers[name] = []

    def cancel(self, name: str) -> None:
        self._take(self.service.cancel(name, 0))

    def step(self) -> list[DeviceEvent]:
        events = self.service.step(self.now_s)
        self._take(events)
        return events

    def run(self) -> int:
        """To the end of all; the steps it took."""
        for num_steps in range(20_000):
            if not self.service.has_work:
                return num_steps
            self.step()
        raise AssertionError("the service never came to an end")

    def ask(self, prompt: Prompt) -> str:
        """One more, to its end. The name that it got."""
        name = f"request {len(self.answers)}"
        self.add(name, prompt)
        self.run()
        return name

    def answer(self, prompt: Prompt) -> list[int]:
        return self.answers[self.ask(prompt)]

    def told(self, name: str) -> list[NewToken]:
        return [e for e in self.events if isinstance(e, NewToken) and e.request_id == name]

    @property
    def messages(self) -> dict[str, str]:
        """Of those that failed."""
        return {e.request_id: e.error.message for e in self.events if isinstance(e, GenerateFailed)}

    def waiting(self, stage: str = "") -> list[Waiting]:
        """What was told to all that waited, of this stage alone if one is named."""
        told = [event for event in self.events if isinstance(event, Waiting)]
        return [event for event in told if stage in ("", event.stage.name)]

    @property
    def status(self) -> ModelStatus:
        return self.service.status(ModelCounts().status("model"))

    def _take(self, events: list[DeviceEvent]) -> None:
        self.events += events
        for event in events:
            if isinstance(event, NewToken | Pooled | GenerateFailed):
                assert event.request_id not in self.ends
            match event:
                case NewToken(name, _, token_id, finish):
                    if token_id is not None:
                        self.answers[name].append(token_id)
                    if finish is not None:
                        self.ends[name] = finish
                        self.num_cached[name] = event.num_cached
                case Pooled(name, _, vector):
                    self.ends[name] = "pooled"
                    self.vectors[name] = vector
                case GenerateFailed(name, _, error):
                    assert self.may_fail, error
                    self.ends[name] = error.code
                case _:
                    pass


def opened(
    model: ServableModel,
    capacity: Capacity = ROOMY,
    store_bytes: int = 1 << 24,
    *,
    store: HostStore | None = None,
    num_tokens: int = TOKENIZER_SIZE,
    **others: Any,
) -> Asked:
    """A service with nothing in it yet. `store` is in place of one of so many bytes, and `others`
    are what `make_service` is asked beside.
    """
    kept: HostStore = PrefixStore(store_bytes) if store is None else store
    return Asked(make_service(model, num_tokens, CPU, capacity, kept, "model", **others))


def prompt_of(token_ids: Iterable[int], **changes: Any) -> Prompt:
    """Answered greedily with sixteen tokens, if nothing else is said."""
    greedy = Sampling(seed=0, temperature=0.0)
    prompt = Prompt(tuple(token_ids), (), (), greedy, 16, (), stop_token_ids=())
    return msgspec.structs.replace(prompt, **changes)


def golden_case(golden: Path, name: str) -> tuple[Prompt, list[int]]:
    """A golden prompt with its pictures, and the tokens of its greedy answer."""
    folder = golden / "qwen3_5"
    cases = json.loads((folder / "expected" / "cases.json").read_text())["cases"]
    case = next(c for c in cases if c["case"] == name)
    expected = read_tensors(folder / "expected" / case["file"])
    sizes = read_preprocessor(folder)
    assert sizes is not None
    own = PixelBudget(sizes.min_pixels, sizes.max_pixels)
    images = tuple(
        prepare_image((golden / "images" / f"{image}.png").read_bytes(), sizes, own)
        for image in case.get("images") or ()
    )
    return prompt_of([int(i) for i in expected["input_ids"]], images=images), case["greedy_ids"]
