"""Two prompts have the same symbols exactly as far as the model would see the same."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.cache.symbols import (
    SYMBOL_BYTES,
    common_symbols,
    num_symbols,
    prefix_marks,
    prompt_symbols,
)
from cortex.engine.errors import InvalidRequest
from cortex.engine.types import PreparedImage, Prompt, Sampling
from tests.engine.cache.trees import token_symbols

PAD = 7


def picture(seed: int, cells: int = 6) -> PreparedImage:
    return PreparedImage(hashlib.sha256(bytes([seed])).digest(), (1, 2, 2 * cells), memoryview(b""))


def symbols_of(token_ids: list[int], *images: PreparedImage) -> bytes:
    prompt = Prompt(tuple(token_ids), (), images, Sampling(seed=0), 1, (), ())
    return prompt_symbols(prompt, PAD, merge_size=2)


def test_text_is_its_token_ids() -> None:
    assert symbols_of([1, 2, 248_319]) == token_symbols([1, 2, 248_319])
    assert num_symbols(symbols_of([1, 2, 3])) == 3


def test_another_picture_in_the_same_place_parts_two_prompts_there() -> None:
    tokens = [1, 2, *[PAD] * 6, 3]
    one, other = symbols_of(tokens, picture(1)), symbols_of(tokens, picture(2))
    assert common_symbols(one, other) == 2
    assert common_symbols(one, symbols_of(tokens, picture(1))) == 9


def test_pictures_that_differ_in_any_part_of_the_hash_differ_within_four_places() -> None:
    plain = PreparedImage(bytes(32), (1, 2, 8), memoryview(b""))
    for bit in range(256):
        # The highest bit of each word marks pictures.
        changed = PreparedImage((1 << bit).to_bytes(32, "little"), (1, 2, 8), memoryview(b""))
        alike = symbols_of([PAD] * 4, plain) == symbols_of([PAD] * 4, changed)
        assert alike == (bit % 64 == 63)


def test_places_of_one_picture_differ_from_each_other_and_from_any_token() -> None:
    symbols = symbols_of([PAD] * 600, picture(1, cells=600))
    parts = {symbols[i : i + SYMBOL_BYTES] for i in range(0, len(symbols), SYMBOL_BYTES)}
    assert len(parts) == 600
    assert not parts & {token_symbols([token_id]) for token_id in range(1000)}


def test_neighbouring_pictures_keep_to_their_own_places() -> None:
    both = symbols_of([PAD] * 12, picture(1), picture(2))
    assert both == symbols_of([PAD] * 6, picture(1)) + symbols_of([PAD] * 6, picture(2))


def test_places_without_their_picture_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="5 picture places"):
        symbols_of([PAD] * 5, picture(1))


_TOKENS = st.lists(st.integers(0, 3), max_size=20)


@given(_TOKENS, _TOKENS)
def test_common_symbols_are_counted_one_by_one(one: list[int], other: list[int]) -> None:
    agree = [a == b for a, b in zip(one, other, strict=False)]
    expected = agree.index(False) if False in agree else len(agree)
    assert common_symbols(token_symbols(one), token_symbols(other)) == expected


@given(st.lists(st.integers(0, 2), max_size=12), st.lists(st.integers(0, 2), max_size=12))
def test_marks_are_equal_exactly_as_far_as_prompts_are_alike(
    one: list[int], other: list[int]
) -> None:
    shorter = min(len(one), len(other))
    marks = [prefix_marks(token_symbols(t), range(1, shorter + 1)) for t in (one, other)]
    alike = common_symbols(token_symbols(one), token_symbols(other))
    assert [e for e in range(1, shorter + 1) if marks[0][e] == marks[1][e]] == [
        *range(1, alike + 1)
    ]


def test_a_mark_is_the_same_whatever_was_marked_before_it() -> None:
    symbols = token_symbols(range(10))
    assert prefix_marks(symbols, (3, 7))[7] == prefix_marks(symbols, (7,))[7]
