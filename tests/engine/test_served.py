"""One sequence in steps: the answer does not depend on how its prompt was cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.engine import served as served_module
from cortex.engine.errors import InvalidRequest
from cortex.engine.images import prepare_image
from cortex.engine.preprocessor import PixelBudget, read_preprocessor
from cortex.engine.served import Sequence, ServedModel
from cortex.engine.types import PreparedImage, Prompt, Sampling
from cortex.engine.weights import read_tensors

LOGITS_ATOL = 5e-4


def prompt_of(token_ids: list[int], images: tuple[PreparedImage, ...] = ()) -> Prompt:
    return Prompt(
        tuple(token_ids), (), images, Sampling(seed=0, temperature=0.0), 16, (), stop_token_ids=()
    )


def case_ids(expected: dict[str, torch.Tensor]) -> list[int]:
    return [int(token_id) for token_id in expected["input_ids"]]


def golden_case(golden: Path, name: str) -> tuple[dict[str, Any], dict[str, torch.Tensor], Prompt]:
    folder = golden / "qwen3_5"
    cases = json.loads((folder / "expected" / "cases.json").read_text())["cases"]
    case = next(c for c in cases if c["case"] == name)
    expected = read_tensors(folder / "expected" / case["file"])
    sizes = read_preprocessor(folder)
    assert sizes is not None
    own = PixelBudget(sizes.min_pixels, sizes.max_pixels)
    images = tuple(
        prepare_image((golden / "images" / f"{image}.png").read_bytes(), sizes, own)
        for image in case.get("images") or ()
    )
    return case, expected, prompt_of(case_ids(expected), images)


def last_logits(served: ServedModel, prompt: Prompt, chunk_tokens: int) -> torch.Tensor:
    sequence = prefilled(served, prompt, chunk_tokens)
    assert sequence.logits is not None
    return sequence.logits


def prefilled(served: ServedModel, prompt: Prompt, chunk_tokens: int) -> Sequence:
    sequence = served.start(prompt)
    while not sequence.is_prefilled:
        served.prefill_chunk(sequence, chunk_tokens)
    return sequence


@pytest.mark.parametrize("chunk_tokens", [1, 3, 16, 33])
@pytest.mark.parametrize("name", ["text_short", "two_images", "multiturn_image"])
def test_any_split_of_a_prompt_gives_the_golden_logits(
    served: ServedModel, golden: Path, name: str, chunk_tokens: int
) -> None:
    _, expected, prompt = golden_case(golden, name)

    ours = last_logits(served, prompt, chunk_tokens)

    assert (ours - expected["logits"][-1]).abs().max() < LOGITS_ATOL


@pytest.mark.parametrize("name", ["raw_1", "raw_3", "text_long"])
def test_one_three_and_six_hundred_tokens_go_through_the_serving_path(
    served: ServedModel, golden: Path, name: str
) -> None:
    case, expected, prompt = golden_case(golden, name)
    sequence = prefilled(served, prompt, served_module.PREFILL_CHUNK_TOKENS)
    assert sequence.logits is not None
    assert (sequence.logits - expected["logits"][-1]).abs().max() < LOGITS_ATOL

    answer: list[int] = []
    for _ in range(16):
        answer.append(int(sequence.logits.argmax()))
        served.feed(sequence, answer[-1])

    assert answer == case["greedy_ids"]


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_any_prompt_split_anywhere_agrees_with_itself_whole(
    served: ServedModel, data: st.DataObject
) -> None:
    token_ids = data.draw(st.lists(st.integers(0, 999), min_size=1, max_size=150))
    chunk_tokens = data.draw(st.integers(1, 150))

    whole = last_logits(served, prompt_of(token_ids), len(token_ids))
    split = last_logits(served, prompt_of(token_ids), chunk_tokens)

    assert (whole - split).abs().max() < LOGITS_ATOL


def test_resumed_tokens_lead_to_the_same_next_token_bit_for_bit(
    served: ServedModel, golden: Path
) -> None:
    _, _, prompt = golden_case(golden, "image_square")
    first = prefilled(served, prompt, 512)
    answer: list[int] = []
    for _ in range(8):
        answer.append(served.choose(first).token_id)
        served.feed(first, answer[-1])

    resumed = prefilled(served, prompt, 512)
    for token_id in answer:
        served.feed(resumed, token_id)

    assert first.logits is not None and resumed.logits is not None
    assert torch.equal(first.logits, resumed.logits)


def test_padding_ids_and_picture_places_are_never_chosen(served: ServedModel) -> None:
    sequence = prefilled(served, prompt_of([5, 6, 7]), 512)
    image_id = served.model.config.image_token_id
    assert sequence.logits is not None and image_id is not None
    sequence.logits = sequence.logits.clone()
    sequence.logits[[image_id, 1080]] = 1e9  # 1080 is beyond the tokenizer's 1033 tokens

    assert served.choose(sequence).token_id not in (image_id, 1080)


def test_a_prompt_with_more_places_than_pictures_is_refused(served: ServedModel) -> None:
    image_id = served.model.config.image_token_id
    assert image_id is not None

    with pytest.raises(InvalidRequest, match="more picture places"):
        served.start(prompt_of([1, image_id, 2]))
