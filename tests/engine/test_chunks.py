"""Prompts that begin alike are cut alike, wherever they end."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.chunks import LEAST_SPARED_TOKENS, chunk_ends, fast_ends, remembered_ends

_BOUNDARIES = st.sets(st.integers(1, 300), max_size=12).map(lambda found: tuple(sorted(found)))


def test_prompt_is_cut_at_boundaries_and_on_the_grid_after_each() -> None:
    assert chunk_ends(45, (12, 15), 10) == (10, 12, 15, 25, 35, 45)
    assert chunk_ends(7, (), 10) == (7,)
    assert chunk_ends(10, (10,), 10) == (10,)


@given(_BOUNDARIES, st.integers(1, 60), st.integers(1, 320), st.integers(1, 320))
def test_shorter_prompt_has_the_cuts_of_the_longer_one_as_far_as_it_goes(
    boundaries: tuple[int, ...], grid: int, one: int, other: int
) -> None:
    shorter, longer = sorted((one, other))
    known = tuple(b for b in boundaries if b <= shorter)
    cuts = [end for end in chunk_ends(longer, boundaries, grid) if end < shorter]
    assert chunk_ends(shorter, known, grid) == (*cuts, shorter)


@given(_BOUNDARIES, st.integers(1, 60), st.integers(1, 320))
def test_chunks_are_never_empty_nor_longer_than_the_grid(
    boundaries: tuple[int, ...], grid: int, num_tokens: int
) -> None:
    ends = chunk_ends(num_tokens, boundaries, grid)
    sizes = [end - start for start, end in zip((0, *ends), ends, strict=False)]
    assert sum(sizes) == num_tokens
    assert all(0 < size <= grid for size in sizes)
    assert {b for b in boundaries if b < num_tokens} <= set(ends)


def test_head_and_last_two_turns_are_remembered_and_one_cut_in_a_while() -> None:
    assert remembered_ends(100, (10, 20, 30, 40, 50), 1000) == (10, 40, 50)
    assert remembered_ends(100, (10, 20, 30, 40, 50), 20) == (10, 30, 40, 50)
    assert remembered_ends(100, (10, 20, 30, 40, 50), 1000, answer_start=20) == (10, 20, 40, 50)
    assert remembered_ends(100, (), 40, 20) == (40, 80)
    assert remembered_ends(100, (10,), 40, 20) == (10, 50, 90)
    assert remembered_ends(100, (), 1000, 20) == (80,)


@given(_BOUNDARIES, st.integers(1, 60), st.integers(1, 320), st.integers(1, 200))
def test_only_cuts_are_remembered_and_never_the_end(
    boundaries: tuple[int, ...], grid: int, num_tokens: int, spacing: int
) -> None:
    kept = remembered_ends(num_tokens, boundaries, spacing, grid)
    assert set(kept) <= set(chunk_ends(num_tokens, boundaries, grid)[:-1])
    gaps = [b - a for a, b in zip((0, *kept), (*kept, num_tokens), strict=True)]
    assert max(gaps) < spacing + grid


def test_fast_mode_cuts_where_prompts_part_and_before_the_last_token() -> None:
    assert fast_ends(300, (), 0, 120, is_recurrent=True) == (120, 299)
    assert fast_ends(300, (100,), 0, 120, is_recurrent=True) == (299,)
    assert fast_ends(300, (100, 280), 100, 200, is_recurrent=True) == (200,)
    assert fast_ends(300, (), 299, 300, is_recurrent=True) == ()


def test_fast_mode_remembers_all_of_a_prompt_that_needs_no_state() -> None:
    assert fast_ends(300, (), 0, 120, is_recurrent=False) == (300,)
    assert fast_ends(300, (), 299, 300, is_recurrent=False) == ()


@given(st.integers(1, 320), _BOUNDARIES, st.integers(0, 319), st.integers(0, 320))
def test_no_fast_cut_spares_less_than_is_worth_it(
    num_tokens: int, known: tuple[int, ...], restored: int, diverged: int
) -> None:
    remembered = [end for end in known if end < num_tokens]
    restored, diverged = sorted((min(restored, num_tokens - 1), min(diverged, num_tokens)))
    ends = fast_ends(num_tokens, remembered, restored, diverged, is_recurrent=True)

    assert all(0 < end < num_tokens for end in ends)
    places = sorted({0, restored, *remembered, *ends})
    gaps = {after: after - before for before, after in itertools.pairwise(places)}
    assert all(gaps[end] >= LEAST_SPARED_TOKENS for end in ends)
