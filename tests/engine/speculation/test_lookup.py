"""Drafts by looking up what followed the same tokens before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.speculation.lookup import PromptLookup


def drafted(tokens: list[int], most: int = 4) -> list[int]:
    lookup = PromptLookup()
    lookup.take(tokens)
    return lookup.draft(most)


def test_what_followed_the_same_three_tokens_is_expected_again() -> None:
    assert drafted([1, 2, 3, 4, 5, 6, 7, 1, 2, 3]) == [4, 5, 6, 7]


def test_two_tokens_alike_are_not_enough() -> None:
    assert drafted([9, 2, 3, 4, 5, 1, 2, 3]) == []


def test_of_several_places_the_last_one_counts() -> None:
    assert drafted([1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3], most=1) == [5]


def test_a_place_that_proves_right_is_kept_although_a_later_one_begins_alike() -> None:
    # Behind 7 8 9 comes 1 2 3 5; elsewhere, and later, 1 2 3 4.
    tokens = [7, 8, 9, 1, 2, 3, 5, 6, 1, 2, 3, 4, 0, 7, 8, 9, 1, 2, 3]
    assert drafted(tokens, most=2) == [5, 6]


def test_a_loop_is_expected_to_go_on() -> None:
    assert drafted([5, 1, 2, 1, 2, 1, 2], most=5) == [1, 2, 1, 2, 1]


def test_a_new_place_is_looked_for_as_soon_as_something_else_comes() -> None:
    assert drafted([1, 2, 3, 4, 0, 2, 3, 6, 7, 0, 1, 2, 3, 6], most=1) == [7]


@given(st.lists(st.integers(0, 4), max_size=60), st.data())
def test_drafts_are_a_function_of_the_tokens_however_they_are_told(
    tokens: list[int], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(tokens)))
    lookup = PromptLookup()
    lookup.take(tokens[:cut])
    lookup.draft(3)
    lookup.take(tokens[cut:])
    assert lookup.draft(6) == drafted(tokens, most=6)
