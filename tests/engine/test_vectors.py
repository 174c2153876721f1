"""Vectors over one model: those of the reference, and the same bits in whatever company."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.engine.errors import ContextLengthExceeded
from cortex.engine.models.base import ServableModel
from cortex.engine.pooling import PooledStates, float32_bytes
from cortex.engine.serving import Capacity
from cortex.engine.types import Pooling, Prompt, Sampling
from cortex.engine.weights import read_tensors
from tests.engine.asking import ROOMY, opened, prompt_of

HIDDEN = 64
LAST = Pooling("last", True, HIDDEN)
# The golden folders' tolerance for hidden states in float32.
TOLERANCE = 2e-4
both_models = pytest.mark.parametrize("model_name", ["golden_model", "dense_model"])


def vector_of(token_ids: list[int], pooling: Pooling = LAST) -> Prompt:
    return Prompt(tuple(token_ids), (), (), Sampling(0), 0, (), (), pooling=pooling)


def alone(model: ServableModel, prompt: Prompt, capacity: Capacity = ROOMY) -> bytes:
    asked = opened(model, capacity)
    return asked.vectors[asked.ask(prompt)]


def values(data: bytes) -> torch.Tensor:
    return torch.tensor(struct.unpack(f"<{len(data) // 4}f", data))


@both_models
@pytest.mark.parametrize("grid_tokens", [1, 7, 512])
def test_vectors_are_the_references_states_pooled(
    request: pytest.FixtureRequest, golden: Path, model_name: str, grid_tokens: int
) -> None:
    model: ServableModel = request.getfixturevalue(model_name)
    folder = golden / ("qwen3_5" if model_name == "golden_model" else "qwen3")
    expected = read_tensors(folder / "expected" / "text_short.safetensors")
    states = expected["hidden.final_norm"]  # [tokens, hidden]
    asked = opened(model, replace(ROOMY, grid_tokens=grid_tokens))
    token_ids = [int(i) for i in expected["input_ids"]]
    size = states.shape[1]
    asked.add("last", vector_of(token_ids, Pooling("last", False, size)))
    asked.add("mean", vector_of(token_ids, Pooling("mean", False, size)))
    asked.add("unit", vector_of(token_ids, Pooling("mean", True, size)))
    asked.add("short", vector_of(token_ids, Pooling("last", True, 5)))

    asked.run()

    mean = states.mean(0)
    wanted: dict[str, torch.Tensor] = {
        "last": states[-1],
        "mean": mean,
        "unit": mean / mean.norm(),
        "short": states[-1, :5] / states[-1, :5].norm(),
    }
    for name, vector in wanted.items():
        torch.testing.assert_close(values(asked.vectors[name]), vector, atol=TOLERANCE, rtol=0)


@both_models
def test_a_vector_is_read_from_its_first_token_and_leaves_nothing_behind(
    request: pytest.FixtureRequest, model_name: str
) -> None:
    model: ServableModel = request.getfixturevalue(model_name)
    token_ids = list(range(1, 100))
    mean = msgspec.structs.replace(
        vector_of(token_ids, Pooling("mean", True, HIDDEN)), boundaries=(40, 90)
    )
    chat = prompt_of(token_ids, max_tokens=2, boundaries=(40, 90))
    asked = opened(model)
    for name, prompt in (("v1", mean), ("c1", chat), ("c2", chat), ("v2", mean)):
        asked.add(name, prompt)
        asked.run()

    assert asked.num_cached == {"c1": 0, "c2": 90}
    assert asked.vectors["v2"] == asked.vectors["v1"]


@pytest.mark.parametrize("store_bytes", [0, 1 << 24])
@pytest.mark.parametrize("mode", ["last", "mean"])
def test_a_vector_that_gives_way_in_the_middle_of_its_prompt_stays_the_same(
    golden_model: ServableModel, mode: str, store_bytes: int
) -> None:
    capacity = replace(ROOMY, num_pages=10, grid_tokens=2, step_tokens=2)
    pooling = Pooling("last" if mode == "last" else "mean", True, HIDDEN)
    prompt = vector_of(list(range(1, 126)), pooling)
    asked = opened(golden_model, capacity, store_bytes)
    asked.add("hog", prompt_of(range(1, 126), max_tokens=1))
    asked.add("answer", prompt_of([1], max_tokens=140))
    for _ in range(2):
        asked.step()
    asked.cancel("hog")
    asked.add("vector", prompt)  # the answer has one page: it will want those of the vector

    asked.run()

    stages = [e.stage.name for e in asked.waiting() if e.request_id == "vector"]
    assert set(stages[stages.index("prefill") :]) != {"prefill"}
    assert asked.vectors["vector"] == alone(golden_model, prompt, capacity)


def test_a_prompt_that_fills_memory_to_the_last_token_has_a_vector(
    golden_model: ServableModel,
) -> None:
    small = replace(ROOMY, num_pages=2)

    assert alone(golden_model, vector_of([3] * 32), small)
    with pytest.raises(ContextLengthExceeded, match="33 tokens > 32 maximum"):
        opened(golden_model, small).add("long", vector_of([3] * 33))


def test_a_vector_without_numbers_is_an_error(
    golden_model: ServableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(states: PooledStates) -> torch.Tensor:
        return torch.full((HIDDEN,), torch.nan)

    monkeypatch.setattr(PooledStates, "vector", spoilt)

    asked = opened(golden_model)
    asked.may_fail = True
    asked.add("spoilt", vector_of([1, 2, 3]))
    asked.run()

    assert not asked.vectors
    assert asked.ends == {"spoilt": "engine_failed"}


def test_the_direction_of_nothing_is_nothing() -> None:
    states = PooledStates(Pooling("mean", True, 2))
    states.add(torch.zeros(3, 4))

    assert float32_bytes(states.vector()) == bytes(8)


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    mode=st.sampled_from(["last", "mean"]),
    dimensions=st.integers(1, 8),
)
def test_chunks_change_a_vector_by_rounding_alone(
    sizes: list[int], mode: str, dimensions: int
) -> None:
    pooling = Pooling("last" if mode == "last" else "mean", True, dimensions)
    hidden = torch.randn(sum(sizes), 8, generator=torch.Generator().manual_seed(sum(sizes)))
    whole, chunked = PooledStates(pooling), PooledStates(pooling)
    whole.add(hidden)
    at = 0
    for size in sizes:
        chunked.add(hidden[at : at + size])
        at += size

    torch.testing.assert_close(chunked.vector(), whole.vector(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(whole.vector().norm(), torch.tensor(1.0))


_requests = st.lists(
    st.tuples(
        st.sampled_from(["last", "mean", "answer"]),
        st.lists(st.integers(0, 30), min_size=1, max_size=110),
        st.integers(0, 8),  # the step it arrives at
        st.one_of(st.none(), st.integers(1, 20)),  # the step its client leaves at
    ),
    min_size=1,
    max_size=5,
)


@both_models
@settings(max_examples=25, deadline=None)
@given(
    requests=_requests,
    num_pages=st.integers(10, 40),
    num_slots=st.integers(1, 6),
    store_bytes=st.sampled_from([0, 100_000, 1 << 24]),
)
def test_strangers_cancellations_and_memory_change_no_bit_of_a_vector(
    request: pytest.FixtureRequest,
    model_name: str,
    requests: list[tuple[str, list[int], int, int | None]],
    num_pages: int,
    num_slots: int,
    store_bytes: int,
) -> None:
    model: ServableModel = request.getfixturevalue(model_name)
    asked = opened(model, replace(ROOMY, num_pages=num_pages, num_slots=num_slots), store_bytes)
    prompts: dict[str, Prompt] = {}
    left: set[str] = set()
    for n, (kind, token_ids, _, _) in enumerate(requests):
        pooling = Pooling("last" if kind == "last" else "mean", True, 48)
        is_answer = kind == "answer"
        prompts[str(n)] = (
            prompt_of(token_ids, max_tokens=40) if is_answer else vector_of(token_ids, pooling)
        )
    for step in range(21):
        for n, (*_, arrives, leaves) in enumerate(requests):
            if arrives == step:
                asked.add(str(n), prompts[str(n)])
            if leaves == step and arrives <= step:
                asked.cancel(str(n))
                left.add(str(n))
        asked.step()
    asked.run()

    for name, prompt in prompts.items():
        if prompt.pooling is None:
            continue
        if name in asked.vectors or name not in left:
            assert asked.vectors[name] == alone(model, prompt)
