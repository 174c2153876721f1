"""What models mean as Markdown."""

from __future__ import annotations

import pytest

from cortex.peer.talk.markdown import is_marked_up, with_line_breaks


@pytest.mark.parametrize(
    "text",
    ["# A", "a\n- b", "1. a", "> a", "```\na\n```", "|a|b|", "a **b** c", "a `b` c", "[a](b)"],
)
def test_marks_are_seen(text: str) -> None:
    assert is_marked_up(text)


@pytest.mark.parametrize("text", ["It is 12.40.", "a * b", "-5", "#hashtag", "a_b_c", "1.5 kg", ""])
def test_plain_text_is_plain(text: str) -> None:
    assert not is_marked_up(text)


def test_a_line_that_another_follows_ends_hard() -> None:
    assert with_line_breaks("a\nb\n\nc") == "a  \nb\n\nc"


def test_code_is_left_alone() -> None:
    text = "```\na\nb\n```\nc"
    assert with_line_breaks(text) == text
