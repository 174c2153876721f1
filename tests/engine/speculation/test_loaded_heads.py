"""Which checkpoints have a draft head that is used, and what it costs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

from cortex.engine.cache.store import PrefixStore
from cortex.engine.errors import ModelInvalid
from cortex.engine.estimating import estimate
from cortex.engine.memory import Share
from cortex.engine.models.registry import load_model
from cortex.engine.recall import HostStore
from cortex.engine.serving import load_service
from cortex.engine.weights import read_tensors
from cortex.engine.wishes import Wishes

CPU = torch.device("cpu")


@pytest.fixture
def folder(golden: Path, tmp_path: Path) -> Path:
    """A checkpoint with a draft head, to be changed."""
    return Path(shutil.copytree(golden / "qwen3_5", tmp_path / "model"))


def rewrite(folder: Path, **changes: torch.Tensor | None) -> None:
    """Replace, add or (None) drop tensors of the head; dots are written as two underscores."""
    tensors = read_tensors(folder / "model.safetensors")
    for name, tensor in changes.items():
        key = f"mtp.{name.replace('__', '.')}"
        if tensor is None:
            del tensors[key]
        else:
            tensors[key] = tensor
    save_file(tensors, folder / "model.safetensors")


def has_head(folder: Path, *, drafts: bool = True) -> bool:
    return load_model(folder, torch.float32, CPU, drafts=drafts).model.shape.has_draft_head


def test_a_head_whose_weights_are_there_is_loaded_if_it_is_to_draft(folder: Path) -> None:
    assert has_head(folder)
    assert not has_head(folder, drafts=False)


def test_weights_say_whether_there_is_a_head_and_not_the_config(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    names = list(read_tensors(folder / "model.safetensors"))
    del config["text_config"]["mtp_num_hidden_layers"]
    (folder / "config.json").write_text(json.dumps(config))
    assert has_head(folder)

    rewrite(folder, **{n[4:].replace(".", "__"): None for n in names if n.startswith("mtp.")})
    assert not has_head(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"norm__weight": None},
        {"layers__1__input_layernorm__weight": torch.zeros(64)},
        {"embed_tokens__weight": torch.zeros(1088, 64)},
    ],
    ids=["not whole", "of two layers", "with an embedding of its own"],
)
def test_a_head_of_another_make_is_left_alone(
    folder: Path, changes: dict[str, torch.Tensor | None]
) -> None:
    rewrite(folder, **changes)
    assert not has_head(folder)


def test_a_head_of_other_sizes_is_refused_with_the_tensors_name(folder: Path) -> None:
    rewrite(folder, fc__weight=torch.zeros(64, 64))
    with pytest.raises(ModelInvalid, match=r"mtp\.fc\.weight"):
        has_head(folder)
    with pytest.raises(ModelInvalid, match=r"mtp\.fc\.weight"):
        estimate(folder, CPU, Wishes())


def test_what_a_head_keeps_of_tokens_is_counted_as_a_layers(folder: Path) -> None:
    using, without = (
        estimate(folder, CPU, Wishes("exact", speculation=s)) for s in ("auto", "off")
    )
    # Two layers of the model attend, and the head.
    assert using.kv_bytes_per_token * 2 == without.kv_bytes_per_token * 3
    assert using.state_bytes == without.state_bytes
    assert using.workspace_bytes_per_sequence > without.workspace_bytes_per_sequence
    head_bytes = sum(
        tensor.numel() * 4
        for name, tensor in read_tensors(folder / "model.safetensors").items()
        if name.startswith("mtp.")
    )
    assert using.weights_bytes - without.weights_bytes == pytest.approx(head_bytes, rel=0.01)


def test_who_does_without_speculation_gives_the_head_no_memory(folder: Path) -> None:
    store: HostStore = PrefixStore(0)
    loaded = load_service(folder, CPU, store, Share(1 << 29), Wishes("exact", speculation="off"))
    assert loaded.budget.costs == estimate(folder, CPU, Wishes("exact", speculation="off"))
