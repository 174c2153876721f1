"""The numbers that go with every heartbeat: what a model does now, and what it has done."""

from __future__ import annotations

from pathlib import Path

import torch
from msgspec import Raw
from msgspec.structs import replace

from cortex.engine.cache.store import PrefixStore
from cortex.engine.events import DeviceEvent, ModelLoaded, NewToken
from cortex.engine.frames import pack_value
from cortex.engine.loop import DeviceLoop
from cortex.engine.memory import KEYS_AND_VALUES, RECURRENT_STATES, REMEMBERED_PREFIXES
from cortex.engine.messages import Generate, Load, ModelStatus, Unload, Unloaded, Wanted
from cortex.engine.models.base import ServableModel
from cortex.engine.precision import Wishes
from cortex.engine.recall import HostStore
from cortex.engine.service import ModelService
from cortex.engine.serving import Capacity, make_service
from cortex.engine.status import ModelCounts
from cortex.engine.types import PreparedImage, Prompt, Sampling

CPU = torch.device("cpu")
TOKENS = 6


def prompt_of(token_ids: list[int], max_tokens: int = TOKENS) -> Prompt:
    greedy = Sampling(seed=0, temperature=0.0)
    return Prompt(tuple(token_ids), (), (), greedy, max_tokens, (), stop_token_ids=())


def service_of(model: ServableModel, num_pages: int) -> ModelService:
    store: HostStore = PrefixStore(1 << 24)
    capacity = Capacity(num_pages, num_slots=8, grid_tokens=48, encoder_bytes=1, page_tokens=16)
    return make_service(model, 1033, CPU, capacity, store, "model")


def status_of(service: ModelService) -> ModelStatus:
    return service.status(ModelCounts().status("m"))


def used_bytes(service: ModelService) -> dict[str, int]:
    return {part.name: part.num_bytes for part in status_of(service).used}


def run(service: ModelService) -> None:
    for _ in range(1000):
        if not service.has_work:
            return
        service.step(0.0)
    raise AssertionError("the service never came to an end")


def test_what_a_sequence_holds_is_in_use_until_it_ends(golden_model: ServableModel) -> None:
    service = service_of(golden_model, num_pages=80)
    for name in ("a", "b"):
        service.add(Wanted(name, 0), prompt_of([1] * 40), now_s=0.0)
    before = status_of(service)
    assert (before.num_running, before.num_waiting, before.num_used_pages) == (0, 2, 0)

    service.step(0.0)
    status, during = status_of(service), used_bytes(service)
    assert (status.num_running, status.num_waiting, status.num_used_pages) == (2, 0, 6)
    assert status.num_pages == 80
    shape, dtype = golden_model.shape.memory, golden_model.dtype
    assert during[KEYS_AND_VALUES] == 6 * 16 * shape.token_bytes(dtype)
    assert during[RECURRENT_STATES] == 2 * shape.state_bytes(dtype)

    run(service)
    status, after = status_of(service), used_bytes(service)
    assert (status.num_running, status.num_used_pages) == (0, 0)
    assert (after[KEYS_AND_VALUES], after[RECURRENT_STATES]) == (0, 0)
    assert service.counts.num_preemptions == 0


def test_what_is_remembered_of_a_prompt_stays_in_use(dense_model: ServableModel) -> None:
    service = service_of(dense_model, num_pages=80)
    assert used_bytes(service)[REMEMBERED_PREFIXES] == 0
    prompt = replace(prompt_of([1] * 100), boundaries=(60,))
    service.add(Wanted("a", 0), prompt, now_s=0.0)
    run(service)
    assert used_bytes(service)[REMEMBERED_PREFIXES] > 0


def test_each_time_that_a_sequence_gives_way_is_counted(golden_model: ServableModel) -> None:
    # Room for one whole answer and the other's prompt.
    service = service_of(golden_model, num_pages=10)
    for n in range(2):
        prompt = prompt_of([n + 1] * 40, max_tokens=60)
        service.add(Wanted(str(n), 0), prompt, now_s=0.0)
    run(service)
    assert service.counts.num_preemptions > 0


class Watched:
    """A device loop that loads a model, answers once and unloads it, and its statuses meanwhile."""

    def __init__(self, model_dir: Path, prompt: Prompt | None = None) -> None:
        self._prompt = prompt or prompt_of([1] * 40)
        self.statuses: list[ModelStatus] = []
        self.budget: dict[str, int] = {}
        self._loop = DeviceLoop(CPU, None, Wishes(), self._hear)
        self._loop.submit(Load("load", "m", str(model_dir)))
        self._loop.run()
        self.last = self._loop.models
        self.step_count = self._loop.step_count

    def _hear(self, events: tuple[DeviceEvent, ...]) -> None:
        for event in events:
            match event:
                case ModelLoaded():
                    self.budget = {part.name: part.num_bytes for part in event.loaded.memory}
                    self._loop.submit(
                        Generate("m", (Wanted("r", 1),), Raw(pack_value(self._prompt)))
                    )
                case NewToken():
                    self.statuses += self._loop.models
                    if event.finish is not None:
                        self._loop.submit(Unload("unload", "m"))
                case Unloaded():
                    self._loop.close()
                case _:
                    pass


def test_counts_of_a_model_outlive_its_unload_and_what_it_held_does_not(golden: Path) -> None:
    watched = Watched(golden / "qwen3_5")
    first = watched.statuses[0]
    assert (first.model_id, first.num_running) == ("m", 1)
    assert 0 < first.num_used_pages < first.num_pages
    assert all(0 <= part.num_bytes <= watched.budget[part.name] for part in first.used)
    # The prompt's step gives the first token.
    assert [sum(s.steps.counts) for s in watched.statuses] == list(range(1, TOKENS + 1))

    [last] = watched.last
    assert sum(last.steps.counts) == TOKENS and last.steps.sum > 0
    assert (last.num_pages, last.num_used_pages, last.used) == (0, 0, ())


def test_every_block_of_a_picture_that_is_encoded_counts_as_progress(
    golden: Path, golden_model: ServableModel
) -> None:
    """One picture may take longer than a step may stand still."""
    image_id = golden_model.shape.image_token_id
    assert image_id is not None
    picture = PreparedImage(bytes(32), (1, 4, 4), memoryview(bytes(64 * 64 * 3)))
    shown = replace(prompt_of([1, image_id, image_id, image_id, image_id]), images=(picture,))
    without = Watched(golden / "qwen3_5", prompt_of([1] * 5))

    num_blocks = len([*golden_model.slow_parts])
    assert num_blocks > 1
    watched = Watched(golden / "qwen3_5", shown)
    assert watched.step_count == without.step_count + num_blocks
