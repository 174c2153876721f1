"""Sizes as people type them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.cli.errors import UsageProblem
from cortex.cli.sizes import parse_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("8GiB", 8 * 2**30),
        ("500MiB", 500 * 2**20),
        ("2048KiB", 2**21),
        ("1TiB", 2**40),
        ("16GB", 16 * 10**9),
        ("5000kb", 5_000_000),
        (" 1.5 gib ", 3 * 2**29),
        ("8589934592", 8 * 2**30),
        ("2000000b", 2_000_000),
        # No float holds it.
        ("9007199254740993", 9007199254740993),
    ],
)
def test_a_size_is_read_in_its_unit(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text", ["", "GiB", "-8GiB", "8G", "8 gigs", "1e9", "inf", "8GiB8", "1.GiB", "٨GiB", "9" * 5000]
)
def test_what_is_no_size_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        parse_size(text)
    assert repr(text) in caught.value.message
    assert "8GiB" in caught.value.hint


@pytest.mark.parametrize("text", ["0", "8", "0.5KiB", "1048575"])
def test_a_size_in_which_nothing_runs_is_taken_for_a_slip(text: str) -> None:
    with pytest.raises(UsageProblem, match="too little"):
        parse_size(text)


@given(st.text())
def test_any_text_is_a_size_or_a_usage_problem(text: str) -> None:
    with suppress(UsageProblem):
        assert parse_size(text) > 0
