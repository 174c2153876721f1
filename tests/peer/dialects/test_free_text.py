"""The plain text of custom calls, read out of JSON while it comes."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cortex.peer.dialects.free_text import FreeText


def told(*pieces: str) -> list[str]:
    text = FreeText()
    return [*map(text.push, pieces), text.end()]


def cut(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(edges)]


@given(st.text(), st.booleans(), st.sampled_from([None, 0, 2]), st.lists(st.integers(0, 999)))
@example("😀", True, None, [13, 16, 18, 19, 21])
@example('\\"\\ud83d\\', False, None, list(range(40)))
def test_any_text_comes_whole_however_its_json_is_cut(
    text: str, is_ascii: bool, indent: int | None, places: list[int]
):
    arguments = json.dumps({"input": text}, ensure_ascii=is_ascii, indent=indent)
    assert "".join(told(*cut(arguments, places))) == text


def test_text_is_told_while_it_comes():
    assert told('{"inp', 'ut": "*** Be', "gin\\", 'n"}') == ["", "*** Be", "gin", "\n", ""]


def test_a_pair_of_halves_is_told_as_one_character():
    assert told('{"input":"a\\ud83d', '\\ude00b"}') == ["a", "😀b", ""]


def test_half_a_pair_alone_is_a_replacement_character():
    assert "".join(told('{"input":"\\ud83d', 'x\\udc00"}')) == "�x�"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"why": 1, "input": "later"}', "later"),
        ('{"patch": "x"}', '{"patch": "x"}'),
        ('{"input": 5}', '{"input": 5}'),
        ("no JSON", "no JSON"),
        ("[" * 9999, "[" * 9999),
        ("", ""),
        (" " * 300 + '{"input": "far"}', "far"),
        ('{"input": "bad \\x escape"}', "bad \\x escape"),
        ('{"input": "bad \\u12"}', "bad \\u12"),
    ],
)
def test_other_forms_are_told_at_their_end(arguments: str, text: str):
    assert "".join(told(arguments)) == text


@pytest.mark.parametrize("rest", ["", "\\", "\\u", "\\u12", "\\ud83d", "\\ud83d\\ud"])
def test_text_that_is_cut_off_is_told_up_to_its_last_whole_character(rest: str):
    assert "".join(told('{"input": "so far' + rest)) == "so far"


def test_what_follows_the_text_is_not_part_of_it():
    assert "".join(told('{"input": "a"', ', "more": "b"}')) == "a"
