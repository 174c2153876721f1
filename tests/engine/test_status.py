"""The numbers that go with every heartbeat: what a model does now, and what it has done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import torch
from msgspec import Raw

from cortex.engine.events import DeviceEvent, ModelLoaded, NewToken
from cortex.engine.frames import pack_value
from cortex.engine.loop import DeviceLoop
from cortex.engine.memory import KEYS_AND_VALUES, RECURRENT_STATES, REMEMBERED_PREFIXES
from cortex.engine.messages import Generate, Load, ModelStatus, Unload, Unloaded, Wanted
from cortex.engine.models.base import ServableModel
from cortex.engine.precision import Wishes
from cortex.engine.types import PreparedImage, Prompt
from tests.engine.asking import ROOMY, Asked, opened, prompt_of

CPU = torch.device("cpu")
TOKENS = 6
TEXT = prompt_of([1] * 40, max_tokens=TOKENS)


def used_bytes(asked: Asked) -> dict[str, int]:
    return {part.name: part.num_bytes for part in asked.status.used}


def test_what_a_sequence_holds_is_in_use_until_it_ends(golden_model: ServableModel) -> None:
    asked = opened(golden_model)
    for name in ("a", "b"):
        asked.add(name, TEXT)
    before = asked.status
    assert (before.num_running, before.num_waiting, before.num_used_pages) == (0, 2, 0)

    asked.step()
    status, during = asked.status, used_bytes(asked)
    assert (status.num_running, status.num_waiting, status.num_used_pages) == (2, 0, 6)
    assert status.num_pages == 80
    shape, dtype = golden_model.shape.memory, golden_model.dtype
    assert during[KEYS_AND_VALUES] == 6 * 16 * shape.token_bytes(dtype)
    assert during[RECURRENT_STATES] == 2 * shape.state_bytes(dtype)

    asked.run()
    status, after = asked.status, used_bytes(asked)
    assert (status.num_running, status.num_used_pages) == (0, 0)
    assert (after[KEYS_AND_VALUES], after[RECURRENT_STATES]) == (0, 0)
    assert asked.service.counts.num_preemptions == 0


def test_what_is_remembered_of_a_prompt_stays_in_use(dense_model: ServableModel) -> None:
    asked = opened(dense_model)
    assert used_bytes(asked)[REMEMBERED_PREFIXES] == 0
    asked.ask(prompt_of([1] * 100, boundaries=(60,)))
    assert used_bytes(asked)[REMEMBERED_PREFIXES] > 0


def test_each_time_that_a_sequence_gives_way_is_counted(golden_model: ServableModel) -> None:
    # Room for one whole answer and the other's prompt.
    asked = opened(golden_model, replace(ROOMY, num_pages=10))
    for n in range(2):
        asked.add(str(n), prompt_of([n + 1] * 40, max_tokens=60))
    asked.run()
    assert asked.service.counts.num_preemptions > 0


class Watched:
    """A device loop that loads a model, answers once and unloads it, and its statuses meanwhile."""

    def __init__(self, model_dir: Path, prompt: Prompt | None = None) -> None:
        self._prompt = prompt or TEXT
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
    shown = msgspec.structs.replace(TEXT, token_ids=(1, *[image_id] * 4), images=(picture,))
    without = Watched(golden / "qwen3_5", msgspec.structs.replace(TEXT, token_ids=(1,) * 5))

    num_blocks = len([*golden_model.slow_parts])
    assert num_blocks > 1
    watched = Watched(golden / "qwen3_5", shown)
    assert watched.step_count == without.step_count + num_blocks
