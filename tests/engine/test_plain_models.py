"""Models of the plain decoder: how a prompt is cut, and who stands beside it, changes nothing."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

from cortex.engine.cache.pools import Place, PooledMemory, Pools
from cortex.engine.models.base import ServableModel
from cortex.engine.models.registry import load_model
from cortex.engine.weights import read_tensors

CPU = torch.device("cpu")
ATOL = 5e-4
PAGE_TOKENS, NUM_PAGES = 16, 16

_GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = {name: load_model(_GOLDEN / name, torch.float32, CPU).model for name in ("qwen3", "llama")}

models = pytest.mark.parametrize("name", MODELS)


def new_pools(model: ServableModel) -> Pools:
    return Pools(
        model.shape.memory, model.dtype, CPU,
        num_pages=NUM_PAGES, page_tokens=PAGE_TOKENS, num_slots=1,
    )  # fmt: skip


def run(
    model: ServableModel, pools: Pools, places: list[Place], tokens: torch.Tensor
) -> torch.Tensor:
    """Hidden states [batch, tokens, hidden] of the next tokens [batch, tokens] of each place."""
    starts = torch.tensor([place.num_tokens for place in places])
    positions = (starts[:, None] + torch.arange(tokens.shape[1])).expand(3, -1, -1)
    memory = PooledMemory(pools, places, tokens.shape[1])
    hidden = model(model.embed(tokens), positions, memory)
    for place in places:
        place.num_tokens += tokens.shape[1]
    return hidden


def golden_prompt(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and logits of the short chat."""
    expected = read_tensors(_GOLDEN / name / "expected" / "text_short.safetensors")
    return expected["input_ids"], expected["logits"]


@models
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_any_split_of_a_prompt_over_any_pages_gives_the_golden_logits(
    name: str, data: st.DataObject
) -> None:
    model = MODELS[name]
    token_ids, expected = golden_prompt(name)
    cuts = data.draw(st.sets(st.integers(1, len(token_ids) - 1), max_size=5))
    pages = data.draw(st.permutations(range(NUM_PAGES)))[:4]
    place, pools = Place(list(pages), slot=0), new_pools(model)

    with torch.inference_mode():
        ends = [0, *sorted(cuts), len(token_ids)]
        parts = [run(model, pools, [place], token_ids[None, a:b]) for a, b in pairwise(ends)]
        logits = model.logits(torch.cat(parts, dim=1)[0])

    assert (logits - expected).abs().max() < ATOL


@models
def test_without_memory_the_same_comes_out(name: str) -> None:
    model = MODELS[name]
    token_ids, expected = golden_prompt(name)
    positions = torch.arange(len(token_ids)).expand(3, 1, -1)

    with torch.inference_mode():
        logits = model.logits(model(model.embed(token_ids[None]), positions)[0])

    assert (logits - expected).abs().max() < ATOL


@models
def test_sequences_of_one_step_do_not_see_each_other(name: str) -> None:
    """Greedy tokens of three prompts of different lengths, decoded together."""
    model = MODELS[name]
    token_ids, _ = golden_prompt(name)
    cases = json.loads((_GOLDEN / name / "expected" / "cases.json").read_text())["cases"]
    greedy = next(c for c in cases if c["case"] == "text_short")["greedy_ids"]
    prompts = [token_ids[:3], token_ids, token_ids[:7]]
    pools = new_pools(model)
    places = [Place(list(range(4 * i, 4 * i + 4)), slot=0) for i in range(3)]

    with torch.inference_mode():
        last = [
            run(model, pools, [place], prompt[None])[:, -1]
            for place, prompt in zip(places, prompts, strict=True)
        ]
        tokens = model.logits(torch.cat(last)).argmax(-1)
        answers = [tokens]
        for _ in range(len(greedy) - 1):
            tokens = model.logits(run(model, pools, places, tokens[:, None])[:, 0]).argmax(-1)
            answers.append(tokens)

    assert torch.stack(answers, dim=1)[1].tolist() == greedy


def test_a_decoder_published_by_itself_loads_like_the_whole(tmp_path: Path) -> None:
    """Embedding models are published so: their tensors lack the name of the whole around them."""
    whole = read_tensors(_GOLDEN / "qwen3" / "model.safetensors")
    bare = {name.removeprefix("model."): tensor for name, tensor in whole.items()}
    assert not bare.keys() & whole.keys()
    save_file(bare, tmp_path / "model.safetensors")
    shutil.copy(_GOLDEN / "qwen3" / "config.json", tmp_path)

    model = load_model(tmp_path, torch.float32, CPU).model

    tokens, logits = golden_prompt("qwen3")
    place = Place(list(range(NUM_PAGES)), 0)
    hidden = run(model, new_pools(model), [place], tokens[None])
    torch.testing.assert_close(model.logits(hidden[0, -1]), logits[-1], atol=ATOL, rtol=0)
