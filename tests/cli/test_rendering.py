"""An answer printed anew on a terminal, and when that is left alone."""

from __future__ import annotations

import pytest

from cortex.cli.rendering import render, replacement, rows_taken


def test_an_answer_with_marks_is_taken_back_and_printed_as_what_they_mean() -> None:
    anew = replacement("# Total\n\nIt is **12.40**.", 80, 24, has_colour=True)
    assert anew is not None
    assert anew.startswith("\r\x1b[2A\x1b[J")
    assert "\x1b[1m12.40\x1b[0m" in anew and "**" not in anew


def test_an_answer_of_one_row_is_taken_back_without_going_up() -> None:
    anew = replacement("**12.40**", 80, 24, has_colour=False)
    assert anew is not None and anew.startswith("\r\x1b[J")


@pytest.mark.parametrize(
    "text",
    [
        "It is 12.40.",
        "one\n" * 30 + "**two**",  # higher than the screen
        "**e\u0301**",  # terminals disagree about how wide that is
        "**\u1112\u1161\u11ab**",  # Korean letter by letter, which most terminals put together
        "**one\u2028two**",
    ],
)
def test_an_answer_is_left_as_it_was_streamed(text: str) -> None:
    assert replacement(text, 80, 24, has_colour=True) is None


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", 1),
        ("a\n", 2),
        ("x" * 10, 1),
        ("x" * 11, 2),
        ("界" * 5, 1),
        ("x" + "界" * 5, 2),  # the last one does not fit at the edge
        ("a\tb", 1),
        ("a\tbcd", None),
        ("\u00fc\tb", 1),
        ("\u754c\tb", None),
    ],
)
def test_rows_are_counted_as_a_terminal_of_ten_columns_breaks_them(
    text: str, rows: int | None
) -> None:
    assert rows_taken(text, 10) == rows


def test_lines_stay_lines_and_links_are_written_out() -> None:
    shown = render("**a**: 1\n**b**: 2\n\n[here](https://example.com)", 80, has_colour=False)
    lines = [line.rstrip() for line in shown.splitlines()]
    assert len(lines) >= 3
    assert "https://example.com" in shown
    assert "\x1b]8" not in shown
