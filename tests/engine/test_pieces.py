"""What is remembered of encoded text: within its budget, the last used longest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.pieces import PieceMemo


def test_a_piece_not_asked_for_goes_before_one_that_was() -> None:
    memo = PieceMemo(budget_bytes=3_000)
    for name in "abcde":
        memo.keep(name * 100, [1, 2])
        assert memo.get("a" * 100) is not None
    for name in "fghij":
        memo.keep(name * 100, [1, 2])
        memo.get("a" * 100)

    assert memo.get("b" * 100) is None
    assert list(memo.get("a" * 100) or ()) == [1, 2]


def test_a_piece_as_large_as_the_budget_drives_nothing_out() -> None:
    memo = PieceMemo(budget_bytes=3_000)
    memo.keep("small", [1])
    memo.keep("large" * 1_000, [2] * 5_000)

    assert memo.get("small") is not None
    assert memo.get("large" * 1_000) is None


def test_long_text_takes_no_more_room_than_short() -> None:
    short, long = PieceMemo(budget_bytes=10_000), PieceMemo(budget_bytes=10_000)
    short.keep("a", [1, 2, 3])
    long.keep("\ud800" * 50_000, [1, 2, 3])

    assert list(long.get("\ud800" * 50_000) or ()) == [1, 2, 3]
    assert long.get("\ud800" * 49_999) is None
    assert long.used_bytes == short.used_bytes


def test_conversations_that_come_in_turn_are_all_remembered() -> None:
    """Of ten agents a conversation of 150,000 tokens each."""
    memo = PieceMemo(budget_bytes=10 * 150_000 * 5)
    turns = [f"{agent} {turn}" * 1_000 for agent in range(10) for turn in range(100)]
    for turn in turns:
        memo.keep(turn, [7] * 1_500)

    assert all(memo.get(turn) is not None for turn in turns)


@given(st.lists(st.tuples(st.text(max_size=40), st.integers(0, 300)), max_size=60))
def test_the_budget_holds_whatever_is_kept(pieces: list[tuple[str, int]]) -> None:
    memo = PieceMemo(budget_bytes=5_000)
    for text, num_tokens in pieces:
        memo.keep(text, [7] * num_tokens)
        assert 0 <= memo.used_bytes <= 5_000


def test_what_nobody_sent_for_ten_minutes_is_forgotten_and_its_room_is_free() -> None:
    now_s = 0.0
    memo = PieceMemo(budget_bytes=10_000, clock=lambda: now_s)
    memo.keep("said once", [1] * 50)
    memo.keep("said in every turn", [2])
    for later_s in (300.0, 599.0):
        now_s = later_s
        memo.forget()
        assert memo.get("said in every turn") is not None
    with_both = memo.used_bytes
    now_s = 600.0
    memo.forget()

    assert memo.get("said once") is None
    assert memo.get("said in every turn") is not None
    assert 0 < memo.used_bytes < with_both
    now_s = 1_200.0
    memo.forget()
    assert memo.used_bytes == 0
