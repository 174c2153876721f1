"""A peer's devices and speeds out of its books: nothing is counted twice, and nothing forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cortex.engine.costs import MemoryPart
from cortex.engine.messages import Alive, Loaded, ModelStatus
from cortex.peer.config import Card
from cortex.peer.devices.gpus import Gpu
from cortex.peer.observing.health import ChildHealth, NodeHealth, Placed, Placement
from cortex.peer.observing.recent import Recent
from cortex.peer.orders.describing import describe_devices, describe_rates, parts_of
from cortex.peer.orders.facts import Part
from cortex.peer.placement.books import DeviceBooks, Resident, Size
from cortex.peer.types import ModelInfo
from tests.peer.by_hand import CONFIG

GIB = 1 << 30
MODEL = ModelInfo("qwen", None, ("text",), 4096, 7)
PARTS = (
    MemoryPart("weights", 4 * GIB),
    MemoryPart("tokenizer", GIB // 4),
    MemoryPart("work of a step", GIB // 2),
    MemoryPart("work of the largest picture", GIB // 2),
    MemoryPart("keys and values", 2 * GIB),
    MemoryPart("recurrent states", GIB // 4),
    MemoryPart("encoded pictures", GIB // 4),
    MemoryPart("remembered prefixes", 9 * GIB, "in host memory, beside the total"),
    MemoryPart("unused", 3 * GIB),
    MemoryPart("total", 11 * GIB),
)
LOADED = Loaded("job", "qwen", 4 * GIB, 1.0, memory=PARTS)
PLACED = Placed(MODEL, 0, "ready", Size(4096, 8, 8 * GIB), LOADED)
UP = ChildHealth("up", 1, None, 0, None)
# Not ours: the one that comes before ours.
OTHER = Gpu(0, "A10", 7 * GIB, 0, "570", "GPU-z", 0.1)
HEALTH = NodeHealth((UP,), UP, live_requests=5, is_draining=False)


def books(name: str, budget_bytes: int, foreign_bytes: int = 0) -> DeviceBooks:
    resident: Any = Resident(b"w" * 8, "qwen", "ready", 8 * GIB)  # pyright: ignore[reportArgumentType]
    return DeviceBooks(0, name, budget_bytes, foreign_bytes, (resident,))


def a10(memory_gib: int) -> Gpu:
    return Gpu(1, "A10", memory_gib * GIB, 0, "570", "GPU-a", 0.5, 61.0, 120.0)


def test_the_parts_of_a_model_are_all_that_is_reserved_for_it() -> None:
    parts = list(parts_of(PLACED))
    assert parts == [
        Part("weights", 4 * GIB),
        Part("cache", 2 * GIB),
        Part("states", GIB // 4),
        Part("image", 3 * GIB // 4),
        Part("work", GIB // 2),
        Part("other", GIB // 2),  # a quarter is the tokenizer's, the rest nobody's word
    ]
    assert sum(part.num_bytes for part in parts) == PLACED.size.num_bytes


def test_of_a_model_on_its_way_the_whole_is_known() -> None:
    loading = replace(PLACED, state="loading", loaded=None)
    assert list(parts_of(loading)) == [Part("other", 8 * GIB)]


@pytest.mark.parametrize(
    ("memory_gib", "budget_bytes", "expected"),
    [
        # A GPU whose size the tool tells: what is in no budget is not free.
        (24, 20 * GIB, (24, 11, 5)),
        # One that nobody tells of: the budget is all that is known.
        (0, 20 * GIB, (20, 11, 1)),
        # One whose size was not known when its budget was made.
        (24, 1024 * GIB, (24, 15, 1)),
        # A model that was promised more than there is now.
        (0, 8 * GIB, (8, 0, 1)),
    ],
)
def test_models_free_and_foreign_memory_are_the_whole(
    memory_gib: int, budget_bytes: int, expected: tuple[int, ...]
) -> None:
    placement = Placement((books("cuda:1", budget_bytes, GIB),), (PLACED,))
    [device] = describe_devices(CONFIG, ["NVIDIA A10"], placement, (OTHER, a10(memory_gib)))
    told = (device.memory_bytes, device.free_bytes, device.foreign_bytes)
    assert told == tuple(each * GIB for each in expected)
    assert (device.name, device.kind) == ("NVIDIA A10", "cuda")
    assert (device.utilisation, device.temperature_c, device.power_w) == (0.5, 61.0, 120.0)


def test_of_a_slice_the_card_s_readings_are_told_and_not_its_memory() -> None:
    config = replace(CONFIG, cards=(Card(1, "MIG-4", "A10"),))
    placement = Placement((books("cuda:1", 20 * GIB, GIB),))
    [device] = describe_devices(config, ["NVIDIA A10"], placement, (OTHER, a10(24)))
    assert (device.memory_bytes, device.utilisation, device.power_w) == (20 * GIB, 0.5, 120.0)


def test_a_card_s_readings_are_its_own_where_another_has_its_number_now() -> None:
    config = replace(CONFIG, cards=(Card(0, "GPU-a", "A10"),))
    placement = Placement((books("cuda:0", 20 * GIB),))
    [device] = describe_devices(config, ["NVIDIA A10"], placement, (OTHER, a10(24)))
    assert (device.memory_bytes, device.temperature_c) == (24 * GIB, 61.0)
    [device] = describe_devices(config, ["NVIDIA A10"], placement, (OTHER,))
    assert (device.memory_bytes, device.temperature_c) == (20 * GIB, None), "it is gone"


def test_of_a_gpu_that_is_given_in_part_the_part_is_told_and_the_whole_named() -> None:
    placement = Placement((books("cuda:0", 20 * GIB, GIB),), (PLACED,))
    card = Gpu(0, "H100", 80 * GIB, 0, "570")
    for given_gib, expected in ((20, (20, 11, 1, 80)), (90, (80, 11, 61, None))):
        config = replace(CONFIG, memory_bytes=given_gib * GIB)
        [device] = describe_devices(config, ["a"], placement, (card,))
        told = (device.memory_bytes, device.free_bytes, device.foreign_bytes, device.whole_bytes)
        assert told == tuple(each and each * GIB for each in expected)


def test_models_stand_at_their_own_device() -> None:
    devices = (books("cuda:0", GIB), replace(books("cuda:1", GIB), index=1))
    placement = Placement(devices, (replace(PLACED, device=1),))
    told = describe_devices(CONFIG, ["a", "b"], placement, ())
    assert [[model.id for model in device.models] for device in told] == [[], ["qwen"]]


def test_speeds_and_shares_are_of_what_was_done_of_late() -> None:
    recent = Recent()
    for second in range(10):
        recent.add(100.0 + second, "completed", 50)
    recent.add(108.0, "read", 1000)
    recent.add(109.0, "prompted", 1000)
    recent.add(109.0, "cached", 630)
    recent.waited(109.0, 0.25)
    status: Any = ModelStatus("qwen", None, num_waiting=1)  # pyright: ignore[reportArgumentType]
    busy = replace(HEALTH, engines=(replace(UP, last_alive=Alive(1, 0, 0, (status,))),))
    rates = describe_rates(recent, 110.0, Placement(wanted=(MODEL,)), busy)
    assert (rates.decode_tokens_per_s, rates.prompt_tokens_per_s) == (50.0, 200.0)
    assert (rates.running, rates.waiting) == (3, 2)
    assert (rates.ttft_p50_s, rates.cached_ratio) == (0.25, 0.63)


def test_of_an_idle_peer_nothing_is_made_up() -> None:
    rates = describe_rates(Recent(), 0.0, Placement(), HEALTH)
    assert (rates.ttft_p50_s, rates.ttft_p95_s, rates.cached_ratio) == (None, None, None)
    assert (rates.decode_tokens_per_s, rates.requests_5m, rates.failovers_5m) == (0.0, 0, 0)
