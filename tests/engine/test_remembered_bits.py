"""What is taken up from memory is what would be computed: answers and scores agree to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.engine.cache.store import PrefixStore
from cortex.engine.events import NewToken
from cortex.engine.messages import Waiting, Wanted
from cortex.engine.models.base import ServableModel
from cortex.engine.models.registry import load_model
from cortex.engine.recall import HostStore
from cortex.engine.service import ModelService
from cortex.engine.serving import Capacity, make_service
from cortex.engine.stream import Stage
from cortex.engine.types import Prompt, Sampling, TokenScores
from cortex.engine.wishes import KernelsWish

CPU = torch.device("cpu")
TOKENIZER_SIZE = 1033
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


def opened(model: ServableModel, grid_tokens: int = 48) -> ModelService:
    store: HostStore = PrefixStore(1 << 24)
    capacity = Capacity(80, 8, grid_tokens, encoder_bytes=1 << 20, page_tokens=16)
    return make_service(model, TOKENIZER_SIZE, CPU, capacity, store, "model")


def ask(service: ModelService, token_ids: list[int]) -> None:
    starts = tuple(i for i, token_id in enumerate(token_ids[:-1], start=1) if token_id == TURN)
    greedy = Sampling(seed=0, temperature=0.0)
    prompt = Prompt(tuple(token_ids), starts, (), greedy, 2, (), stop_token_ids=(), top_logprobs=3)
    service.add(Wanted("one", 0), prompt, now_s=0.0)


def asked(service: ModelService, token_ids: list[int]) -> tuple[Answer, int]:
    """The answer, and how many tokens of the prompt were not read for it."""
    ask(service, token_ids)
    told: list[NewToken] = []
    while service.has_work:
        told += [event for event in service.step(now_s=0.0) if isinstance(event, NewToken)]
    return [(token.token_id, token.scores) for token in told], told[-1].num_cached


def test_how_much_was_remembered_is_told_while_the_rest_is_read(model: ServableModel) -> None:
    service = opened(model)
    asked(service, [1, 2, TURN, 3])
    ask(service, [1, 2, TURN, 4, 5])
    stages = [event.stage for event in service.step(now_s=0.0) if isinstance(event, Waiting)]
    assert stages[-1] == Stage("prefill", 5, 5, "tokens", cached_tokens=3)


def test_prompts_that_part_between_their_cuts_are_remembered_to_the_bit(
    model: ServableModel,
) -> None:
    for long in range(12, 40):
        prompts = [[0, 0, TURN, 0], [*[0] * long, TURN, *[0] * 20]]
        service = opened(model)
        for prompt in prompts:
            asked(service, prompt)
        for prompt in prompts:
            cold, _ = asked(opened(model), prompt)
            assert asked(service, prompt) == (cold, prompt.index(TURN) + 1)


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
    service = opened(model, grid_tokens)
    prompts = [trunk[:shared] + own for shared, own in family]
    for prompt in [*prompts, *prompts]:
        cold, _ = asked(opened(model, grid_tokens), prompt)
        assert asked(service, prompt)[0] == cold
