"""Files of the decoder alone, whose config ties no head: vectors are made of it, and no text."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

from cortex.engine.cache.store import PrefixStore
from cortex.engine.errors import ModelInvalid, ModelNotSupported
from cortex.engine.estimating import estimate
from cortex.engine.memory import Share
from cortex.engine.models.registry import load_model
from cortex.engine.recall import HostStore
from cortex.engine.serving import load_service
from cortex.engine.types import Pooling, Prompt
from cortex.engine.weights import read_tensors
from cortex.engine.wishes import KernelsWish, ModeWish, Wishes
from tests.engine.asking import CPU, Asked, prompt_of

SHARE = Share(512 << 20)
TEXT = prompt_of([5, 6, 7])
VECTOR = msgspec.structs.replace(TEXT, max_tokens=0, pooling=Pooling("last", True, 64))


@pytest.fixture(params=["llama", "qwen3_5"])
def whole(request: pytest.FixtureRequest, golden: Path) -> Path:
    """A checkpoint with a head of its own."""
    return golden / request.param


@pytest.fixture
def bare(whole: Path, tmp_path: Path) -> Path:
    """The same, saved without it and by the names that the decoder has for itself."""
    folder = Path(shutil.copytree(whole, tmp_path / "bare"))
    tensors = read_tensors(folder / "model.safetensors")
    del tensors["lm_head.weight"]
    inner = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    assert not inner.keys() & {name for name in tensors if name.startswith("model.")}
    save_file(inner, folder / "model.safetensors")
    return folder


def served(folder: Path, wishes: Wishes | None = None) -> Asked:
    store: HostStore = PrefixStore(0)
    return Asked(load_service(folder, CPU, store, SHARE, wishes or Wishes()).service)


def vector(asked: Asked) -> bytes:
    return asked.vectors[asked.ask(VECTOR)]


@pytest.mark.parametrize("kernels", ["auto", "torch"])
def test_its_vectors_are_those_of_the_whole(whole: Path, bare: Path, kernels: KernelsWish) -> None:
    wishes = Wishes("exact", kernels=kernels)

    assert vector(served(bare, wishes)) == vector(served(whole, wishes))


@pytest.mark.parametrize(
    "prompt",
    [TEXT, msgspec.structs.replace(TEXT, max_tokens=0, echo="abc", top_logprobs=1)],
    ids=["answer", "scores"],
)
def test_text_is_refused_with_what_is_lacking_and_vectors_go_on(bare: Path, prompt: Prompt) -> None:
    asked = served(bare)

    with pytest.raises(ModelNotSupported) as caught:
        asked.add("text", prompt)

    assert caught.value.message.startswith("this model writes no text: its files hold no")
    assert "/v1/embeddings" in caught.value.hint
    assert vector(asked)


@pytest.mark.parametrize(
    ("mode", "kernels"), [("exact", "auto"), ("fast", "auto"), ("auto", "torch")]
)
def test_it_costs_what_it_was_estimated_to_and_no_head(
    whole: Path, bare: Path, mode: ModeWish, kernels: KernelsWish
) -> None:
    wishes = Wishes(mode, kernels=kernels, speculation="off")
    costs = estimate(bare, CPU, wishes)
    store: HostStore = PrefixStore(0)

    budget = load_service(bare, CPU, store, SHARE, wishes).budget

    assert replace(budget.costs, precision=costs.precision) == costs
    head = read_tensors(whole / "model.safetensors")["lm_head.weight"]
    of_head = estimate(whole, CPU, wishes).weights_bytes - costs.weights_bytes
    assert of_head >= head.numel() * (2 if mode == "fast" else 4)


def test_the_embedding_is_no_head_in_its_stead_and_nothing_is_foreseen(bare: Path) -> None:
    model = load_model(bare, torch.float32, CPU, drafts=True).model

    assert model.lm_head is None
    assert not model.shape.has_head and not model.shape.has_draft_head


def test_a_decoder_that_is_not_whole_is_refused_as_ever(bare: Path) -> None:
    tensors = read_tensors(bare / "model.safetensors")
    del tensors[next(name for name in tensors if name.endswith("layers.1.mlp.up_proj.weight"))]
    save_file(tensors, bare / "model.safetensors")

    with pytest.raises(ModelInvalid, match=r"no tensor for 1 parameters in .*layers\.1\.mlp\.up"):
        estimate(bare, CPU, Wishes())
