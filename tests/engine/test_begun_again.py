"""Answers that begin again: what is known of them is read, or fed, and it is told how far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch

from cortex.engine.cache.store import PrefixStore
from cortex.engine.events import NewToken
from cortex.engine.messages import Waiting, Wanted
from cortex.engine.models.base import ServableModel
from cortex.engine.recall import HostStore
from cortex.engine.service import ModelService
from cortex.engine.serving import Capacity, make_service
from cortex.engine.stream import Stage
from cortex.engine.types import Prompt, Sampling

ROOMY = Capacity(num_pages=80, num_slots=8, grid_tokens=8, encoder_bytes=1 << 20, page_tokens=16)


def prompt_of(token_ids: list[int], max_tokens: int) -> Prompt:
    sampling = Sampling(seed=5, temperature=1.0)
    return Prompt(tuple(token_ids), (), (), sampling, max_tokens, (), stop_token_ids=())


@dataclass
class Played:
    """Requests to a service without room for copies, their answers, and what is told of reading."""

    service: ModelService
    answers: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    stages: list[Stage] = field(default_factory=list[Stage])

    def add(self, name: str, prompt: Prompt, resume: tuple[int, ...] = ()) -> None:
        self.answers[name] = []
        self.service.add(Wanted(name, 0, resume), prompt, now_s=0.0)

    def step(self) -> None:
        for event in self.service.step(now_s=0.0):
            if isinstance(event, NewToken) and event.token_id is not None:
                self.answers[event.request_id].append(event.token_id)
            elif isinstance(event, Waiting) and event.stage.name == "prefill":
                self.stages.append(event.stage)

    def run(self) -> None:
        while self.service.has_work:
            self.step()


def played(
    model: ServableModel, capacity: Capacity = ROOMY, *, is_exact: bool, **prompts: Prompt
) -> Played:
    store: HostStore = PrefixStore(0)
    cpu = torch.device("cpu")
    line = Played(make_service(model, 1033, cpu, capacity, store, "model", is_exact=is_exact))
    for name, prompt in prompts.items():
        line.add(name, prompt)
    return line


def answers(model: ServableModel, **prompts: Prompt) -> dict[str, list[int]]:
    line = played(model, ROOMY, is_exact=True, **prompts)
    line.run()
    return line.answers


def test_in_fast_mode_what_is_known_of_an_answer_is_read_like_its_prompt(
    golden_model: ServableModel,
) -> None:
    prompt = prompt_of([*range(1, 60)], max_tokens=16)
    whole = answers(golden_model, one=prompt)["one"]
    line = played(golden_model, is_exact=False)
    line.add("one", prompt, resume=tuple(whole[:13]))

    line.step()

    assert line.answers["one"] == whole[13:14]
    assert line.stages[-2:] == [Stage("prefill", n, 72, "tokens") for n in (67, 72)]
    line.run()
    assert line.answers["one"] == whole[13:]


def test_in_fast_mode_an_answer_that_gave_way_is_read_like_its_prompt(
    golden_model: ServableModel,
) -> None:
    prompts = {name: prompt_of([n] * 40, max_tokens=30) for n, name in enumerate("ab", start=1)}
    # Room for one of them and the beginning of the other.
    line = played(golden_model, replace(ROOMY, num_pages=8), is_exact=False, **prompts)

    line.run()

    assert line.answers == answers(golden_model, **prompts)
    assert line.service.counts.num_preemptions > 0
    again = [(stage.done, stage.total) for stage in line.stages if stage.total > 40]
    assert again and again[-1][0] == again[-1][1]


def test_in_exact_mode_it_is_told_how_much_has_been_fed_of_what_is_known(
    golden_model: ServableModel,
) -> None:
    line = played(golden_model, replace(ROOMY, grid_tokens=48), is_exact=True)
    line.add("one", prompt_of([*range(1, 60)], max_tokens=140), resume=(7,) * 130)

    line.run()

    told = [(stage.done, stage.total) for stage in line.stages]
    assert told == [(done, 189) for done in (48, 59, 64, 128)]
