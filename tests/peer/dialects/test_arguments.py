"""The JSON of calls on its way to clients that parse it as it comes."""

from __future__ import annotations

import json
from typing import Any

import jiter
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.dialects.arguments import Arguments

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=4)


def written(value: Any, style: int) -> str:
    """The same value in the spellings that encoders have."""
    spaces = [(",", ":"), (", ", ": "), (" ,\n", " :\t")][style % 3]
    return json.dumps(value, ensure_ascii=style % 2 == 0, separators=spaces, allow_nan=False)


def in_pieces(text: str, cuts: list[int]) -> list[str]:
    places = sorted({cut % (len(text) + 1) for cut in cuts})
    bounds = zip([0, *places], [*places, len(text)], strict=True)
    return [text[low:high] for low, high in bounds]


def taken_by_the_sdk(told: str) -> Any:
    return jiter.from_json(told.encode(), partial_mode=True) if told else {}


def all_told(text: str) -> str:
    arguments = Arguments()
    return arguments.push(text) + arguments.end()


@given(OBJECTS, st.integers(0, 5), st.lists(st.integers(0, 500), max_size=8))
def test_an_object_arrives_as_it_was_written_however_it_is_cut(
    value: dict[str, Any], style: int, cuts: list[int]
):
    arguments = Arguments()
    told = "".join(map(arguments.push, in_pieces(written(value, style), cuts)))
    assert arguments.end() == ""
    assert json.loads(told) == value
    assert arguments.input_json() == told


@given(OBJECTS, st.integers(0, 5), st.integers(0, 500))
def test_of_a_call_that_is_cut_off_there_are_the_values_that_were_whole(
    value: dict[str, Any], style: int, length: int
):
    arguments = Arguments()
    told = arguments.push(written(value, style)[:length])
    assert taken_by_the_sdk(told) == json.loads(arguments.input_json())


@given(
    st.text(st.sampled_from("{}[]\",: \\untrue10.eE-'x\n"), max_size=30),
    st.lists(st.integers(0, 40), max_size=5),
)
def test_whatever_a_model_writes_no_accumulator_fails_and_the_end_is_an_object(
    text: str, cuts: list[int]
):
    arguments, told = Arguments(), ""
    for piece in in_pieces('{"a":' + text, cuts):
        told += arguments.push(piece)
        assert isinstance(taken_by_the_sdk(told), dict)
        assert taken_by_the_sdk(told) == json.loads(arguments.input_json())
    told += arguments.end()
    assert json.loads(told or "{}") == json.loads(arguments.input_json())


@given(
    st.text(st.sampled_from('{}[]",: \\ud8aAbdDcC0\n'), max_size=40), st.lists(st.integers(0, 40))
)
def test_where_the_pieces_are_cut_makes_no_difference(text: str, cuts: list[int]):
    arguments = Arguments()
    told = "".join(map(arguments.push, in_pieces('{"k": "' + text, cuts)))
    assert told + arguments.end() == all_told('{"k": "' + text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (r'{"path": "C:\data", "n": 1}', r'{"path":"C:\\data","n":1}'),
        (r'{"re": "\d+\u00e9\u12"}', r'{"re":"\\d+\u00e9\\u12"}'),
        ('{"a": "two\nlines"}', r'{"a":"two\nlines"}'),
        ('{"a": True, "b": [None,], "c": False,}', '{"a":true,"b":[null],"c":false}'),
        (r'{"a": "\ud83d\u0041\ud83dx"}', r'{"a":"\ufffd\u0041\ufffdx"}'),
        (r'{"a": "\ud83d", "b": "\ude00\ud83d\ude00"}', r'{"a":"\ufffd","b":"\ufffd\ud83d\ude00"}'),
    ],
)
def test_what_models_get_wrong_is_mended(text: str, told: str):
    assert all_told(text) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 1, "b": oops, "c": 2}', '{"a":1}'),
        ('{"a": [1, {"b": 2 "c"}]}', '{"a":[1,{"b":2}]}'),
        ('{"a": 1, b: 2}', '{"a":1}'),
        ('{"a": 1} and more', '{"a":1}'),
        ('{"a": 1, "b": NaN}', '{"a":1}'),
        ('{"a": "it goes on', '{"a":"it goes on"}'),
        ('{"a": 1, "b', '{"a":1}'),
        ("[1, 2]", ""),
        ("none", ""),
        ("", ""),
    ],
)
def test_what_cannot_be_mended_ends_with_the_last_whole_value(text: str, told: str):
    assert all_told(text) == told


def test_strings_are_told_while_they_come():
    arguments = Arguments()
    assert arguments.push('{"text": "Once') == '{"text":"Once'
    assert arguments.push(" upon a") == " upon a"


def test_what_is_nested_too_deeply_for_clients_is_left_out():
    text = '{"a": 1, "b": ' + "[" * 1000 + "]" * 1000 + "}"
    told = all_told(text)
    assert json.loads(told)["a"] == 1
    assert told.count("[") < 200


def test_a_number_without_an_end_is_not_kept():
    arguments = Arguments()
    told = arguments.push('{"a": ') + "".join(arguments.push("7" * 100) for _ in range(100))
    assert told + arguments.end() == "{}"
