"""What is taken up from memory is what would be computed: answers and scores agree to the bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.engine.models.base import ServableModel
from cortex.engine.models.registry import load_model
from cortex.engine.stream import Stage
from cortex.engine.types import Prompt, TokenScores
from cortex.engine.wishes import KernelsWish
from tests.engine.asking import CPU, ROOMY, Asked, opened, prompt_of

TURN = 7  # the token behind which a prompt is cut

_GOLDEN = Path(__file__).parents[1] / "golden"
_KERNELS: tuple[KernelsWish, ...] = ("auto", "torch")

Answer = list[tuple[int | None, TokenScores | None]]


@pytest.fixture(scope="module", params=["qwen3_5", "qwen3"])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module", params=_KERNELS)
def model(request: pytest.FixtureRequest, name: str) -> ServableModel:
    return load_model(_GOLDEN / name, torch.float32, CPU, kernels=request.param).model


def turns_of(token_ids: list[int]) -> Prompt:
    starts = tuple(i for i, token_id in enumerate(token_ids[:-1], start=1) if token_id == TURN)
    return prompt_of(token_ids, boundaries=starts, max_tokens=2, top_logprobs=3)


def answer(asked: Asked, token_ids: list[int]) -> tuple[Answer, int]:
    """The answer, and how many tokens of the prompt were not read for it."""
    told = asked.told(asked.ask(turns_of(token_ids)))
    return [(token.token_id, token.scores) for token in told], told[-1].num_cached


def test_how_much_was_remembered_is_told_while_the_rest_is_read(model: ServableModel) -> None:
    asked = opened(model)
    answer(asked, [1, 2, TURN, 3])
    asked.add("one", turns_of([1, 2, TURN, 4, 5]))
    asked.step()
    assert asked.waiting("prefill")[-1].stage == Stage("prefill", 5, 5, "tokens", cached_tokens=3)


def test_prompts_that_part_between_their_cuts_are_remembered_to_the_bit(
    model: ServableModel,
) -> None:
    for long in range(12, 40):
        prompts = [[0, 0, TURN, 0], [*[0] * long, TURN, *[0] * 20]]
        asked = opened(model)
        for prompt in prompts:
            answer(asked, prompt)
        for prompt in prompts:
            cold, _ = answer(opened(model), prompt)
            assert answer(asked, prompt) == (cold, prompt.index(TURN) + 1)


@settings(max_examples=12, deadline=None)
@given(
    trunk=st.lists(st.integers(0, TURN), min_size=100, max_size=100),
    family=st.lists(
        st.tuples(st.integers(0, 100), st.lists(st.integers(0, TURN), min_size=1, max_size=40)),
        min_size=2,
        max_size=5,
    ),
    grid_tokens=st.sampled_from([16, 48, 512]),
)
def test_prompts_that_part_anywhere_are_answered_as_if_nothing_were_remembered(
    model: ServableModel,
    trunk: list[int],
    family: list[tuple[int, list[int]]],
    grid_tokens: int,
) -> None:
    capacity = replace(ROOMY, grid_tokens=grid_tokens)
    asked = opened(model, capacity)
    prompts = [trunk[:shared] + own for shared, own in family]
    for prompt in [*prompts, *prompts]:
        cold, _ = answer(opened(model, capacity), prompt)
        assert answer(asked, prompt)[0] == cold
