"""A small model computes through Triton's kernels what its golden files say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cortex.engine.cache.place import Place
from cortex.engine.cache.pools import PooledMemory, Pools
from cortex.engine.kernels.gpu.operations import TritonOperations
from cortex.engine.layers.operations import PLAIN, Operations, use_operations
from cortex.engine.models.base import ServableModel
from cortex.engine.models.registry import LoadedModel, load_model
from cortex.engine.verification import checkpoint
from cortex.engine.verify import verify_folder

CPU = torch.device("cpu")
PROMPTS = ([5, 9, 2, 30, 7, 7, 41, 3, 12, 6, 90, 55, 21, 8, 13, 4, 17, 60, 2], [11, 5, 2])
STEPS = 2


@pytest.fixture(params=["qwen3_5", pytest.param("qwen3", marks=pytest.mark.slow)])
def model(request: pytest.FixtureRequest, golden: Path) -> ServableModel:
    return load_model(golden / request.param, torch.float32, CPU).model


def greedy(model: ServableModel, operations: Operations) -> tuple[torch.Tensor, list[list[int]]]:
    """Both prompts read one after the other and answered together; logits of each step, tokens."""
    use_operations(model, operations)
    pools = Pools(
        model.shape.memory, model.dtype, CPU, num_pages=8, page_tokens=16, num_slots=4,
        operations=operations,
    )  # fmt: skip
    # Slots and pages of neither follow on.
    places = [Place([6, 1, 4, 2], slot=3), Place([0, 7, 5, 3], slot=1)]
    answers: list[list[int]] = [[], []]
    told: list[torch.Tensor] = []

    def read(some: list[Place], tokens: list[list[int]]) -> torch.Tensor:
        new = len(tokens[0])
        at = torch.tensor([list(range(p.num_tokens, p.num_tokens + new)) for p in some])
        embeddings = model.embed(torch.tensor(tokens))
        memory = PooledMemory(pools, some, new)
        hidden = model(embeddings, at.expand(3, -1, -1), memory)
        for place in some:
            place.num_tokens += new
        return model.logits(hidden[:, -1])

    for place, prompt in zip(places, PROMPTS, strict=True):
        pools.clear_state(place.slot)
        logits = read([place], [prompt[:-1]])
    with_last = [[prompt[-1]] for prompt in PROMPTS]
    for _ in range(STEPS):
        logits = read(places, with_last)
        told.append(logits)
        with_last = [[int(row.argmax())] for row in logits]
        for answer, (token,) in zip(answers, with_last, strict=True):
            answer.append(token)
    return torch.stack(told), answers


def test_answers_are_the_same_tokens_by_either(
    model: ServableModel, operations: TritonOperations
) -> None:
    with torch.inference_mode():
        logits, tokens = greedy(model, PLAIN)
        their_logits, their_tokens = greedy(model, operations)

    assert their_tokens == tokens
    torch.testing.assert_close(their_logits, logits, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen3_5_text", "qwen3"])
def test_golden_cases_pass_through_the_kernels(
    name: str, golden: Path, operations: TritonOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(
        folder: Path, dtype: torch.dtype, device: torch.device, *, exact: bool
    ) -> LoadedModel:
        found = load_model(folder, dtype, device, exact=exact)
        use_operations(found.model, operations)
        return found

    monkeypatch.setattr(checkpoint, "load_model", loaded)

    assert [r for r in verify_folder(golden / name) if not r.passed] == []
