"""Answers about pictures are computed ahead as others are: their positions have jumped."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from cortex.engine.models.base import ServableModel
from cortex.engine.speculation.paying import Choice, Offer, Prices
from tests.engine.asking import golden_case, opened


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


def every_guess(offers: list[Offer], prices: Prices, most: int) -> list[Choice]:
    return [Choice(offers[0].looked_up.num_guesses)]


@pytest.mark.parametrize("name", ["two_images", "multiturn_image"])
def test_golden_answers_about_pictures_stay_golden(
    golden_model: ServableModel, golden: Path, name: str
) -> None:
    prompt, greedy_ids = golden_case(golden, name)
    asked = opened(
        golden_model, store_bytes=0,
        make_drafter=lambda: Knowing([*prompt.token_ids, *greedy_ids]),
        choose_guesses=every_guess,
    )  # fmt: skip

    assert asked.answer(msgspec.structs.replace(prompt, max_tokens=len(greedy_ids))) == greedy_ids
    assert asked.service.counts.num_accepted > 0
