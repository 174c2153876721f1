"""Answers about pictures are computed ahead as others are: their positions have jumped."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import torch

from cortex.engine.cache.store import PrefixStore
from cortex.engine.events import NewToken
from cortex.engine.messages import Wanted
from cortex.engine.models.base import ServableModel
from cortex.engine.recall import HostStore
from cortex.engine.serving import Capacity, make_service
from cortex.engine.speculation.paying import Choice
from cortex.engine.types import PreparedImage, Prompt, Sampling

GoldenCase = Callable[[str], tuple[list[int], tuple[PreparedImage, ...], list[int]]]


class Knowing:
    """A drafter that knows the whole, and is wrong about every third token."""

    def __init__(self, whole: list[int]) -> None:
        self._whole = whole
        self._num_tokens = 0

    def take(self, token_ids: Iterable[int]) -> None:
        self._num_tokens += len(list(token_ids))

    def draft(self, most: int) -> list[int]:
        places = range(self._num_tokens, min(self._num_tokens + most, len(self._whole)))
        return [self._whole[i] + (i % 3 == 0) for i in places]


@pytest.mark.parametrize("name", ["two_images", "multiturn_image"])
def test_golden_answers_about_pictures_stay_golden(
    golden_model: ServableModel, golden_case: GoldenCase, name: str
) -> None:
    token_ids, images, greedy_ids = golden_case(name)
    store: HostStore = PrefixStore(0)
    service = make_service(
        golden_model, 1033, torch.device("cpu"), Capacity(80, 8, 48, 1 << 20, 16), store, "model",
        make_drafter=lambda: Knowing([*token_ids, *greedy_ids]),
        choose_guesses=lambda offers, prices, most: [Choice(offers[0].looked_up.num_guesses)],
    )  # fmt: skip
    greedy = Sampling(seed=0, temperature=0.0)
    prompt = Prompt(tuple(token_ids), (), images, greedy, len(greedy_ids), (), ())
    service.add(Wanted("r", 0), prompt, now_s=0.0)

    answer: list[int | None] = []
    while service.has_work:
        answer += [e.token_id for e in service.step(0.0) if isinstance(e, NewToken)]

    assert answer == greedy_ids
    assert service.counts.num_accepted > 0
