"""Stop strings are found wherever the pieces of text are cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.stopping import StopScanner

_TEXT = st.text(alphabet="ab<|", max_size=40)
_STOPS = st.lists(st.text(alphabet="ab<|", min_size=1, max_size=5), max_size=4)


def scan(stops: list[str], pieces: list[str]) -> tuple[str, str | None]:
    scanner = StopScanner(stops)
    shown = ""
    for piece in pieces:
        result = scanner.push(piece)
        shown += result.safe
        if result.matched is not None:
            return shown, result.matched
    return shown + scanner.flush(), None


def expected(stops: list[str], text: str) -> tuple[str, str | None]:
    for end in range(len(text) + 1):
        complete = [s for s in stops if text[:end].endswith(s)]
        if complete:
            longest = max(complete, key=len)
            return text[: end - len(longest)], longest
    return text, None


def test_stop_string_across_pieces_is_not_shown() -> None:
    assert scan(["<end>"], ["one <", "en", "d> two"]) == ("one ", "<end>")


def test_beginning_that_comes_to_nothing_is_shown_in_the_end() -> None:
    assert scan(["<end>"], ["one <", "en", "x", "<e"]) == ("one <enx<e", None)


def test_only_a_possible_beginning_is_held_back() -> None:
    scanner = StopScanner(["abab"])
    assert scanner.push("xxaba").safe == "xx"
    assert scanner.push("c").safe == "abac"


def test_stop_string_that_is_complete_first_wins() -> None:
    assert scan(["abcd", "bc"], ["abcd"]) == ("a", "bc")


def test_no_stop_strings_hold_nothing_back() -> None:
    assert StopScanner([""]).push("text").safe == "text"


@given(_STOPS, _TEXT, st.lists(st.integers(0, 40), max_size=6))
def test_any_cut_finds_what_a_whole_text_search_finds(
    stops: list[str], text: str, cuts: list[int]
) -> None:
    edges = [0, *sorted(min(c, len(text)) for c in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(edges)]
    assert scan(stops, pieces) == expected(stops, text)


def test_long_repetitive_stop_string_takes_linear_time() -> None:
    size = 200_000
    text = "a" * size
    assert scan(["a" * size + "b"], [text, text, "b"]) == (text, "a" * size + "b")
