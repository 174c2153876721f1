"""Answers of both spellings taken apart: the usual ones, and what models make of them."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from cortex.engine.parsers.reply import ReplyParser
from cortex.engine.stream import (
    Delta,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallBegin,
    ToolCallEnd,
)
from cortex.engine.types import ReplyFormat, Tool

Parse = Callable[..., list[Delta]]

WEATHER = Tool(
    "get_weather",
    parameters=json.dumps(
        {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "places": {"type": "array"},
            },
        }
    ),
)
PLAIN = ReplyFormat()
THINKS = ReplyFormat(reasoning="open")
MAY_THINK = ReplyFormat(reasoning="may_open")
JSON = ReplyFormat(calls="json", tools=(WEATHER,))
XML = ReplyFormat(calls="xml", tools=(WEATHER,))


def call(index: int, name: str, arguments: str, *, is_whole: bool = True) -> list[Delta]:
    return [
        ToolCallBegin(index, f"id{index}", name),
        ToolCallArguments(index, arguments),
        ToolCallEnd(index, is_whole),
    ]


def xml(*parameters: tuple[str, str], name: str = "get_weather") -> str:
    inner = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in parameters)
    return f"<tool_call>\n<function={name}>\n{inner}</function>\n</tool_call>"


# Reasoning


def test_what_stands_before_the_end_mark_is_reasoning(parse: Parse) -> None:
    deltas = parse(THINKS, "\nhm,\n\nwell\n</think>\n\nYes.\n")
    assert deltas == [ReasoningDelta("hm,\n\nwell"), TextDelta("Yes.\n")]


def test_reasoning_that_never_ends_is_all_there_is(parse: Parse) -> None:
    assert parse(THINKS, "hm\n</thin") == [ReasoningDelta("hm\n</thin")]


def test_an_answer_may_open_its_own_think_block(parse: Parse) -> None:
    deltas = parse(MAY_THINK, "\n<think>\nhm\n</think>\n\nYes.")
    assert deltas == [ReasoningDelta("hm"), TextDelta("Yes.")]


@pytest.mark.parametrize("text", ["\n\nYes.", "<thinking", "a <think> b </think>", "\n<thi", "\n"])
def test_an_answer_that_does_not_think_stays_as_it_is(parse: Parse, text: str) -> None:
    assert parse(MAY_THINK, text) == [TextDelta(text)]


def test_empty_reasoning_is_none(parse: Parse) -> None:
    assert parse(THINKS, "\n</think>\n\nYes.") == [TextDelta("Yes.")]


def test_a_call_inside_reasoning_is_thought_and_not_called(parse: Parse) -> None:
    form = ReplyFormat("open", "xml", (WEATHER,))
    inside = xml(("city", "Rome"))
    assert parse(form, f"{inside}\n</think>\n\nNo.") == [ReasoningDelta(inside), TextDelta("No.")]


def test_marks_mean_nothing_where_nothing_was_offered(parse: Parse) -> None:
    text = "\n<think>\nhm\n</think>\n" + xml(("city", "Rome"))
    assert parse(PLAIN, text) == [TextDelta(text)]


# Calls as one JSON object


def test_a_json_call_is_told_with_its_arguments_as_they_were_written(parse: Parse) -> None:
    body = '{"name": "f", "arguments": {"a": [1, {"b": "}"}]}}'
    text = f"Let me look.\n\n<tool_call>\n{body}\n</tool_call>"
    assert parse(JSON, text) == [
        TextDelta("Let me look."),
        *call(0, "f", '{"a": [1, {"b": "}"}]}'),
    ]


def test_arguments_come_before_the_call_is_over() -> None:
    parser = ReplyParser(JSON, lambda index: f"id{index}")
    begun = parser.push('<tool_call>{"name": "f", "arguments": {"a": "x')
    assert begun == (ToolCallBegin(0, "id0", "f"), ToolCallArguments(0, '{"a": "x'))
    begun = ReplyParser(XML, str).push("<tool_call><function=get_weather><parameter=city>\nRo")
    assert begun[-1] == ToolCallArguments(0, '"Ro')


def test_calls_in_parallel_are_counted(parse: Parse) -> None:
    one = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    assert parse(JSON, f"{one}\n{one}\n") == [*call(0, "f", "{}"), *call(1, "f", "{}")]


def test_words_between_and_behind_calls_stay_words(parse: Parse) -> None:
    one = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    assert parse(JSON, f"a\n{one}\nb\n{one}\n\nc") == [
        TextDelta("a"),
        *call(0, "f", "{}"),
        TextDelta("\nb"),
        *call(1, "f", "{}"),
        TextDelta("\n\nc"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        '{"arguments": {"a": 1}, "name": "f"}',
        '{"name": "f", "arguments": "{\\"a\\": 1}"}',
        '{"id": 7, "name": "f", "arguments": {"a": 1}}',
        '{"name": "f", "parameters": {"a": 1}}',
        '{"type": "function", "id": "c", "name": "f", "arguments": "", "parameters": {"a": 1}}',
        '{"name": "f", "parameters": {"a": 2}, "arguments": {"a": 1}}',
        '{"name": "f", "arguments": {"a": 1}, "id": "}"}',
        '{"name": "f", "arguments": {"a": 1}}}',
        '{"name": "f", "arguments": {"a": 1}',
        '  \n{ "name" : "f" , "arguments" : {"a": 1} }\n ',
    ],
)
@pytest.mark.parametrize("closing", ["</tool_call>", "\n</tool_call>", ""])
def test_the_same_call_in_other_words_is_the_same_call(
    parse: Parse, body: str, closing: str
) -> None:
    assert parse(JSON, f"<tool_call>{body}{closing}") == call(0, "f", '{"a": 1}')


@pytest.mark.parametrize(
    "body",
    [
        '{"name": "f"}',
        '{"name": "f", "arguments": null}',
        '{"name": "f", "arguments": ""}',
        '{"type": "function", "id": "c", "name": "f"}',
    ],
)
def test_a_call_without_arguments_has_empty_ones(parse: Parse, body: str) -> None:
    assert parse(JSON, f"<tool_call>{body}</tool_call>") == call(0, "f", "{}")


@pytest.mark.parametrize(
    "body",
    [
        '{"name": "f", "arguments": [1]}',
        '{"arguments": {}}',
        '{"name": "f", "a": 1}',
        '{"name": "f", "input": {"a": 1}, "arguments": null}',
        '{"name": 5, "arguments": {}}',
        '{"name": "", "arguments": {}}',
        "{'name': 'f', 'arguments': {}}",
        '{"name": "f", "arguments"',
        '{"x": NaN}',
        "{",
        "",
        "[]",
        "<functio",
        "and so on",
    ],
)
@pytest.mark.parametrize("closing", ["</tool_call>", "\n</tool_call>\n\nmore", ""])
def test_what_is_no_call_is_shown_as_it_was_written(parse: Parse, body: str, closing: str) -> None:
    text = f"so:\n\n<tool_call>\n{body}{closing}"
    assert parse(JSON, text) == [TextDelta(text)]


def test_arguments_that_are_no_json_are_told_and_called_broken(parse: Parse) -> None:
    text = '<tool_call>{"name": "f", "arguments": {"a": tru}}</tool_call>\nSo.'
    assert parse(JSON, text) == [*call(0, "f", '{"a": tru}', is_whole=False), TextDelta("So.")]


def test_arguments_that_end_too_soon_end_at_the_mark(parse: Parse) -> None:
    text = '<tool_call>{"name": "f", "arguments": {"a": [1}</tool_call>So.'
    assert parse(JSON, text) == [*call(0, "f", '{"a": [1}', is_whole=False), TextDelta("So.")]


def test_the_closing_mark_inside_a_string_is_part_of_it(parse: Parse) -> None:
    arguments = '{"text": "a </tool_call> b"}'
    text = f'<tool_call>{{"name": "f", "arguments": {arguments}}}</tool_call>'
    assert parse(JSON, text) == call(0, "f", arguments)


def test_line_breaks_written_out_in_strings_are_mended(parse: Parse) -> None:
    text = '<tool_call>{"name": "f", "arguments": {"a": "1\n2\t3"}}</tool_call>'
    assert parse(JSON, text) == call(0, "f", '{"a": "1\\n2\\t3"}')


def test_half_a_character_in_a_call_never_reaches_the_socket(parse: Parse) -> None:
    body = '{"arguments": {"a": "\\ud83d"}, "name": "f\\ud83d"}'
    assert parse(JSON, f"<tool_call>{body}</tool_call>") == call(0, "f\ufffd", '{"a": "\ufffd"}')


# Calls with a tag for each parameter


def test_parameters_become_json_by_the_tools_schema(parse: Parse) -> None:
    text = "Well.\n\n" + xml(
        ("city", "5"), ("days", "5"), ("note", "null"), ("places", '["a"]'), ("other", "x")
    )
    arguments = '{"city": "5", "days": 5, "note": null, "places": ["a"], "other": "x"}'
    assert parse(XML, text) == [TextDelta("Well."), *call(0, "get_weather", arguments)]


def test_a_call_without_parameters_has_empty_arguments(parse: Parse) -> None:
    assert parse(XML, xml() + "\n" + xml()) == [
        *call(0, "get_weather", "{}"),
        *call(1, "get_weather", "{}"),
    ]


@pytest.mark.parametrize(
    "value",
    [
        'say "hi"\n\n  {x}',
        "",
        "\n",
        "a\n</parameter>\nb",
        "</parameter>",
        "<parameter=x>",
        "\u2028🙂",
    ],
)
def test_a_text_value_may_hold_anything(parse: Parse, value: str) -> None:
    [_, arguments, _] = parse(XML, xml(("city", value)))
    assert isinstance(arguments, ToolCallArguments)
    assert json.loads(arguments.text) == {"city": value}


def test_an_unknown_tool_is_called_all_the_same(parse: Parse) -> None:
    text = xml(("a", "1"), ("b", "one"), name="nobody")
    assert parse(XML, text) == call(0, "nobody", '{"a": 1, "b": "one"}')


def test_a_known_function_without_the_mark_around_it_is_called(parse: Parse) -> None:
    bare = xml(("city", "Rome")).removeprefix("<tool_call>\n").removesuffix("\n</tool_call>")
    assert parse(XML, f"So:\n{bare}\n") == [
        TextDelta("So:"),
        *call(0, "get_weather", '{"city": "Rome"}'),
    ]


def test_an_unknown_function_without_the_mark_is_words(parse: Parse) -> None:
    text = "so:\n\n<function=other>\nx"
    assert parse(XML, text) == [TextDelta(text)]


def test_two_functions_in_one_mark_are_two_calls(parse: Parse) -> None:
    two = xml() + "!"
    two = two.replace("</function>", "</function>\n<function=get_weather>\n</function>")
    assert parse(XML, two) == [
        *call(0, "get_weather", "{}"),
        *call(1, "get_weather", "{}"),
        TextDelta("!"),
    ]


def test_a_json_call_of_a_model_that_uses_tags_is_a_call(parse: Parse) -> None:
    text = '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'
    assert parse(XML, text) == call(0, "f", '{"a": 1}')


def test_words_inside_a_call_end_it(parse: Parse) -> None:
    text = '<tool_call>\n<function=get_weather>\n{"city": "Rome"}'
    assert parse(XML, text) == [
        *call(0, "get_weather", "{}", is_whole=False),
        TextDelta('{"city": "Rome"}'),
    ]


@pytest.mark.parametrize(
    ("text", "arguments", "is_whole"),
    [
        ("", "{}", True),
        ("<parameter=city>\nRo", '{"city": "Ro"}', False),
        ("<parameter=places>\n[1", '{"places": "[1"}', False),
        ("<parameter=city>\nRome\n</parameter>", '{"city": "Rome"}', True),
        ("<parameter=city>\nRome\n</parameter>\n</func", '{"city": "Rome"}', True),
        ("<parameter=ci", "{}", False),
    ],
)
def test_a_call_that_the_model_left_open_is_closed(
    parse: Parse, text: str, arguments: str, is_whole: bool
) -> None:
    deltas = parse(XML, f"<tool_call>\n<function=get_weather>\n{text}")
    assert deltas == call(0, "get_weather", arguments, is_whole=is_whole)


def test_a_call_cut_off_is_left_open(parse: Parse) -> None:
    begun = xml(("city", "Rome"), ("days", "12"))
    whole = '{"city": "Rome", "days": 12}'
    for size in range(begun.index("\n<param"), begun.index("\n</function>")):
        [begin, *arguments, end] = parse(XML, begun[:size], is_cut=True)
        assert begin == ToolCallBegin(0, "id0", "get_weather")
        joined = "".join(a.text for a in arguments if isinstance(a, ToolCallArguments))
        assert whole.startswith(joined) and joined != whole
        assert end == ToolCallEnd(0, is_whole=False)


@pytest.mark.parametrize("form", [JSON, XML])
def test_a_call_cut_off_before_its_name_leaks_no_markup(parse: Parse, form: ReplyFormat) -> None:
    begun = '<tool_call>\n{"name": "get' if form == JSON else "<tool_call>\n<function=get"
    for size in range(len("<tool_call>"), len(begun) + 1):
        assert parse(form, f"So:\n{begun[:size]}", is_cut=True) == [TextDelta("So:")]
        # The model itself has ended: then these are words.
        [words] = parse(form, f"So:\n{begun[:size]}")
        assert words == TextDelta(f"So:\n{begun[:size]}")


# Any answer

_MARKS = (
    "<think>", "</think>", "<tool_call>", "</tool_call>", "<function=", "<function=get_weather>",
    "</function>", "<parameter=", "<parameter=city>", "<parameter=days>", "<parameter=note>",
    "</parameter>", '{"name": "f", "arguments": ', '{"', "{", "}", '"', "\\", "\n", " ", ">", "5",
    "null", "nul", ",", "\u00e9", "🙂", "word", "<", "</", "[", "]", '{"a": 1}', "}}",
)  # fmt: skip
_ANSWERS = st.lists(st.sampled_from(_MARKS) | st.text(max_size=3), max_size=30).map("".join)
_FORMS = st.builds(
    ReplyFormat,
    st.sampled_from(["none", "may_open", "open"]),
    st.sampled_from(["none", "json", "xml"]),
    st.just((WEATHER,)),
)


@given(_FORMS, _ANSWERS, st.lists(st.integers(0, 400)), st.booleans())
@example(XML, xml(("note", "nu")), [], False)
@example(JSON, '<tool_call>{"name": "f\n", "arguments": {}}', [], False)
def test_where_the_pieces_are_cut_makes_no_difference(
    parse: Parse, form: ReplyFormat, answer: str, cuts: list[int], is_cut: bool
) -> None:
    whole = parse(form, answer, is_cut=is_cut)
    edges = [0, *sorted(cut % (len(answer) + 1) for cut in cuts), len(answer)]
    pieces = [answer[a:b] for a, b in itertools.pairwise(edges)]
    assert parse(form, pieces, is_cut=is_cut) == whole
    assert parse(form, list(answer), is_cut=is_cut) == whole


@given(_FORMS, _ANSWERS, st.booleans())
def test_calls_are_begun_and_ended_in_order_and_whole_ones_are_objects(
    parse: Parse, form: ReplyFormat, answer: str, is_cut: bool
) -> None:
    open_index: int | None = None
    num_calls, arguments, has_text = 0, "", False
    for delta in parse(form, answer, is_cut=is_cut):
        match delta:
            case ReasoningDelta():
                assert delta.text and not has_text and num_calls == 0
            case TextDelta():
                assert delta.text and open_index is None
                has_text = True
            case ToolCallBegin():
                assert open_index is None and delta.index == num_calls and delta.name
                open_index, num_calls, arguments = delta.index, num_calls + 1, ""
            case ToolCallArguments():
                assert delta.index == open_index
                arguments += delta.text
            case ToolCallEnd():
                assert delta.index == open_index
                open_index = None
                assert not delta.is_whole or isinstance(json.loads(arguments), dict)
    assert open_index is None


@given(_ANSWERS)
def test_without_marks_to_look_for_nothing_is_changed(parse: Parse, answer: str) -> None:
    assert parse(PLAIN, answer) == ([TextDelta(answer)] if answer else [])


@given(_ANSWERS)
@example('<tool_call>{"\n"}')
def test_no_letter_is_lost(parse: Parse, answer: str) -> None:
    """Whatever becomes of an answer, the words that stand in it come out somewhere."""
    deltas = parse(JSON, answer)
    if any(isinstance(delta, ToolCallBegin) for delta in deltas):
        return
    assert [d.text for d in deltas if isinstance(d, TextDelta)] == ([answer] if answer else [])


_NASTY = st.text(st.sampled_from('"\\{}[]<>/é') | st.characters(exclude_categories=["Cs"]))


@given(st.dictionaries(_NASTY, _NASTY | st.lists(st.integers() | _NASTY)), st.booleans())
@example({"a": 'say "}" and </tool_call>\\'}, True)
def test_any_json_arguments_come_back_letter_for_letter(
    parse: Parse, values: dict[str, object], ascii_only: bool
) -> None:
    arguments = json.dumps(values, ensure_ascii=ascii_only)
    text = f'<tool_call>{{"name": "f", "arguments": {arguments}}}</tool_call>so'
    assert parse(JSON, text) == [*call(0, "f", arguments), TextDelta("so")]


@given(st.dictionaries(st.text(st.characters(categories=["L", "N"]), min_size=1), st.text()))
def test_any_text_in_any_parameter_comes_back(parse: Parse, values: dict[str, str]) -> None:
    properties = {key: {"type": "string"} for key in values}
    tool = Tool("f", parameters=json.dumps({"properties": properties}))
    text = xml(*values.items(), name="f")
    deltas = parse(ReplyFormat(calls="xml", tools=(tool,)), text)
    joined = "".join(d.text for d in deltas if isinstance(d, ToolCallArguments))
    assert json.loads(joined) == values


@pytest.mark.parametrize(
    "unit",
    ["\n", "<", "<tool_call>", "<function=", '<tool_call>{"', "<tool_call>{", "</parameter>",
     "</parameter>\n", '{"', "[", " ", "\\"],
)  # fmt: skip
@pytest.mark.parametrize(
    "start", ["", xml(("places", ""))[:60], '<tool_call>{"name": "f", "arguments": {']
)
def test_the_work_grows_with_the_answer_and_no_faster(parse: Parse, start: str, unit: str) -> None:
    def seconds(count: int) -> float:
        begun_s = time.process_time()
        parse(XML, [start, *[unit] * count])
        return time.process_time() - begun_s

    seconds(100)
    small_s = min(seconds(500) for _ in range(3))
    assert min(seconds(8000) for _ in range(2)) < max(80 * small_s, 0.1)


# Words or calls


@pytest.mark.parametrize("form", [JSON, XML])
def test_where_an_answer_is_one_or_the_other_a_mark_behind_words_is_words(
    parse: Parse, form: ReplyFormat
) -> None:
    text = 'It is "<tool_call>" <function=get_weather> {"name": "get_weather", "arguments": {}}'
    either = replace(form, is_words_or_calls=True)
    assert parse(either, text) == [TextDelta(text)]
    assert parse(either, "<tool" + text) == [TextDelta("<tool" + text)]
    told = parse(either, '\n<tool_call>{"name": "f", "arguments": {}}</tool_call>')
    assert told == call(0, "f", "{}")
