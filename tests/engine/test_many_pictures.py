"""Prompts with more pictures than there is room for at once: each is there for its chunk."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.engine.costs import ModelCosts
from cortex.engine.errors import InsufficientVram
from cortex.engine.images import prepare_image
from cortex.engine.memory import plan_memory
from cortex.engine.models.base import ServableModel
from cortex.engine.preprocessor import PixelBudget, read_preprocessor
from cortex.engine.serving import Capacity
from cortex.engine.types import PreparedImage, Prompt
from tests.engine.asking import Asked, opened, prompt_of

ROW_BYTES = 64 * 4
GRID_TOKENS = 8


@pytest.fixture(scope="module")
def page(golden: Path) -> PreparedImage:
    sizes = read_preprocessor(golden / "qwen3_5")
    assert sizes is not None
    data = (golden / "images" / "tall_58x190.png").read_bytes()
    return prepare_image(data, sizes, PixelBudget(sizes.min_pixels, sizes.max_pixels))


def pages_of(page: PreparedImage, count: int) -> list[PreparedImage]:
    """As many that differ."""
    return [
        msgspec.structs.replace(
            page, hash=bytes([n]) * 32, rgb=memoryview(bytes([n * 20]) * len(page.rgb))
        )
        for n in range(count)
    ]


def num_cells(page: PreparedImage) -> int:
    _, rows, columns = page.grid_thw
    return rows * columns // 4


def document(
    model: ServableModel, pages: list[PreparedImage], question: int, max_tokens: int = 6
) -> Prompt:
    image_id = model.shape.image_token_id
    assert image_id is not None
    token_ids = [t for page in pages for t in (5, *[image_id] * num_cells(page))]
    shown = tuple(pages)
    return prompt_of(
        (3, 4, *token_ids, question), boundaries=(2,), images=shown, max_tokens=max_tokens
    )


def served(
    model: ServableModel, room_tokens: int, num_pages: int = 200, store_bytes: int = 0
) -> Asked:
    capacity = Capacity(
        num_pages, 4, GRID_TOKENS, room_tokens * ROW_BYTES, page_tokens=8, step_tokens=16
    )
    return opened(model, capacity, store_bytes)


def least_room(page: PreparedImage) -> int:
    """For two pictures that a chunk cuts, and those between them."""
    return 2 * num_cells(page) + GRID_TOKENS


@pytest.fixture
def encoded(golden_model: ServableModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures were encoded in each call."""
    encode, calls = golden_model.encode_images, list[int]()

    def counted(patches: torch.Tensor, grids: list[tuple[int, int, int]]) -> torch.Tensor:
        calls.append(len(grids))
        return encode(patches, grids)

    monkeypatch.setattr(golden_model, "encode_images", counted)
    return calls


def test_a_document_of_many_pages_needs_room_for_a_chunk_of_it_alone(
    golden_model: ServableModel, page: PreparedImage, encoded: list[int]
) -> None:
    assert num_cells(page) > GRID_TOKENS
    prompt = document(golden_model, pages_of(page, 12), 7)
    wanted = served(golden_model, 12 * num_cells(page)).answer(prompt)
    encoded.clear()

    assert served(golden_model, least_room(page)).answer(prompt) == wanted
    # Every page reaches over several chunks, and is encoded once for all of them.
    assert encoded == [1] * 12


def test_what_is_remembered_of_a_document_is_not_encoded_again(
    golden_model: ServableModel, page: PreparedImage, encoded: list[int]
) -> None:
    asked = served(golden_model, least_room(page), store_bytes=1 << 24)
    prompt = document(golden_model, pages_of(page, 8), 7)
    prompt = msgspec.structs.replace(prompt, boundaries=(2, len(prompt.token_ids) - 1))
    first = asked.answer(prompt)
    encoded.clear()

    assert asked.answer(prompt) == first
    assert encoded == []


def test_a_picture_that_is_larger_than_all_room_for_them_is_refused(
    golden_model: ServableModel, page: PreparedImage
) -> None:
    asked = served(golden_model, num_cells(page) - 1)
    with pytest.raises(InsufficientVram, match="bytes of pictures"):
        asked.answer(document(golden_model, pages_of(page, 1), 7))


@given(
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=20),
    grid_tokens=st.sampled_from([1, 5, 32, 256]),
)
def test_pictures_of_the_largest_size_are_never_too_many_for_a_device(
    golden_model: ServableModel, sizes: list[tuple[int, int]], grid_tokens: int
) -> None:
    """However many, and wherever their chunks cut them."""
    largest = max((rows * columns for rows, columns in sizes), default=0)
    costs = ModelCosts(
        0, 0, 0, 0,
        image_bytes_per_token=ROW_BYTES, max_image_tokens=largest, grid_tokens=grid_tokens,
    )  # fmt: skip
    budget = plan_memory(costs, costs.chunk_images_bytes, max_sequences=1, host_bytes=0)
    pages = [
        PreparedImage(bytes([n]) * 32, (1, 2 * rows, 2 * columns), memoryview(b""))
        for n, (rows, columns) in enumerate(sizes)
    ]
    capacity = Capacity(100, 1, grid_tokens, budget.encoder_bytes)

    opened(golden_model, capacity, 0).add("r", document(golden_model, pages, 7))


_requests = st.lists(
    st.tuples(
        st.lists(st.integers(0, 4), max_size=3),  # its pages
        st.integers(0, 3),  # its question
        st.integers(-1, 1),  # its priority
        st.integers(0, 8),  # the step it arrives at
        st.none() | st.integers(1, 20),  # the step its client leaves at
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=15, deadline=None)
@given(
    requests=_requests,
    num_pages=st.integers(8, 24),
    store_bytes=st.sampled_from([0, 100_000, 1 << 24]),
)
def test_who_else_shows_pictures_changes_no_answer_and_holds_nobody_up_for_ever(
    golden_model: ServableModel,
    page: PreparedImage,
    requests: list[tuple[list[int], int, int, int, int | None]],
    num_pages: int,
    store_bytes: int,
) -> None:
    pages = pages_of(page, 5)
    asked = served(golden_model, least_room(page), num_pages, store_bytes)
    prompts = [
        document(golden_model, [pages[n] for n in shown], 10 + question, max_tokens=8)
        for shown, question, *_ in requests
    ]
    for step in range(21):
        for n, (*_, priority, arrives, leaves) in enumerate(requests):
            if arrives == step:
                asked.add(str(n), prompts[n], priority=priority)
            if leaves == step:
                asked.cancel(str(n))
        asked.step()
    asked.run()

    roomy = served(golden_model, 5 * num_cells(page), store_bytes=1 << 24)
    for n, prompt in enumerate(prompts):
        whole, got = roomy.answer(prompt), asked.answers[str(n)]
        left = asked.ends[str(n)] == "cancelled"
        assert got == (whole[: len(got)] if left else whole)
