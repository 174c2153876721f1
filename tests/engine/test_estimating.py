"""What a model would cost is what it takes once it is loaded, and is asked without loading it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cortex.engine.cache.store import PrefixStore
from cortex.engine.errors import InsufficientVram, ModelInvalid
from cortex.engine.estimating import estimate
from cortex.engine.gauge import torn_bytes
from cortex.engine.memory import Share, needed_bytes
from cortex.engine.models.registry import load_model
from cortex.engine.recall import HostStore
from cortex.engine.serving import load_service
from cortex.engine.wishes import KernelsWish, ModeWish, Wishes

CPU = torch.device("cpu")
MIB = 1 << 20


@pytest.fixture
def folder(golden: Path, tmp_path: Path) -> Path:
    """A copy of a golden checkpoint, to be broken."""
    return Path(shutil.copytree(golden / "qwen3", tmp_path / "model"))


@pytest.mark.parametrize("name", ["qwen3", "qwen2", "llama", "qwen3_5", "qwen3_5_text"])
@pytest.mark.parametrize(
    ("mode", "kernels"), [("exact", "auto"), ("fast", "auto"), ("auto", "torch")]
)
def test_a_loaded_model_costs_what_it_was_estimated_to(
    golden: Path, name: str, mode: ModeWish, kernels: KernelsWish
) -> None:
    wishes = Wishes(mode, kernels=kernels)
    costs = estimate(golden / name, CPU, wishes)
    store: HostStore = PrefixStore(0)

    loaded = load_service(golden / name, CPU, store, Share(512 * MIB), wishes)

    assert replace(loaded.budget.costs, precision=costs.precision) == costs
    assert costs.precision and loaded.computes_in.startswith(f"{costs.precision}, ")


def test_weights_are_estimated_in_the_numbers_that_they_are_computed_in(golden: Path) -> None:
    whole = estimate(golden / "qwen3_5", CPU, Wishes("exact"))
    half = estimate(golden / "qwen3_5", CPU, Wishes("fast", "bfloat16"))

    # Norms of linear layers and their decay rates keep float32.
    assert whole.weights_bytes / 2 < half.weights_bytes < whole.weights_bytes * 0.52
    assert half.kv_bytes_per_token * 2 == whole.kv_bytes_per_token
    for dtype, costs in ((torch.float32, whole), (torch.bfloat16, half)):
        loaded = load_model(golden / "qwen3_5", dtype, CPU, drafts=True)
        assert loaded.weight_bytes == costs.weights_bytes


def break_config(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hidden_act": "relu"}))


def cut_off(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def spoil_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:8] + b"?" + data[9:])


def make_wider(folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"intermediate_size": config["intermediate_size"] + 8}))


def add_layer(folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    layers = config["num_hidden_layers"] + 1
    more = {"layer_types": ["full_attention"] * layers} if config.get("layer_types") else {}
    path.write_text(json.dumps(config | {"num_hidden_layers": layers} | more))


def break_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def lose_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (break_config, "hidden_act"),
        (cut_off, "model.safetensors cannot be read"),
        (spoil_header, "model.safetensors cannot be read"),
        (make_wider, "config.json makes it"),
        (add_layer, "no tensor for"),
        (break_json, "config.json cannot be read"),
        (lose_weights, "holds no .safetensors"),
    ],
)
def test_what_a_load_refuses_is_refused_before_it_in_the_same_words(
    folder: Path, spoil: Callable[[Path], object], words: str
) -> None:
    spoil(folder)
    with pytest.raises(ModelInvalid, match=words) as before:
        estimate(folder, CPU, Wishes())
    with pytest.raises(ModelInvalid, match=words) as at_load:
        load_model(folder, torch.float32, CPU)
    assert before.value.message == at_load.value.message


def test_a_load_is_given_the_context_and_the_sequences_that_it_was_planned_with(
    golden: Path,
) -> None:
    costs = replace(estimate(golden / "qwen3_5", CPU, Wishes()), context_tokens=100)
    store: HostStore = PrefixStore(0)
    num_bytes = needed_bytes(costs, 300, 5)

    budget = load_service(golden / "qwen3_5", CPU, store, Share(num_bytes, 100, 5), Wishes()).budget

    assert (budget.num_sequences, budget.total_bytes) == (5, num_bytes)
    assert budget.num_pages * 64 >= 300 and budget.costs.context_tokens == 100
    with pytest.raises(InsufficientVram):
        load_service(golden / "qwen3_5", CPU, store, Share(costs.fixed_bytes), Wishes())


def test_what_was_learned_of_earlier_loads_is_part_of_the_sum(golden: Path) -> None:
    store: HostStore = PrefixStore(0)
    plain = load_service(golden / "qwen3", CPU, store, Share(64 * MIB), Wishes()).budget
    share = Share(64 * MIB, learned=(MIB, 3))
    budget = load_service(golden / "qwen3", CPU, store, share, Wishes()).budget

    (part,) = [part for part in budget.parts() if part.name == "learned"]
    assert part.num_bytes == MIB and part.note.startswith("from 3 loads: +")
    assert budget.used_bytes - budget.kv_bytes - MIB == plain.used_bytes - plain.kv_bytes
    assert sum(p.num_bytes for p in budget.parts()) == 2 * 64 * MIB


def test_gaps_between_tensors_are_what_cannot_be_given_back() -> None:
    # As a driver's allocator words it; none was there to ask.
    stats = {"reserved_bytes.all.current": 9 << 30, "inactive_split_bytes.all.current": 2 << 30}
    assert torn_bytes(stats) == 2 << 30
    assert torn_bytes({}) == 0
