"""Calls that are asked for, in both spellings: what the parsers read back obeys the schemas."""

from __future__ import annotations

import json
import time
from typing import Any, Protocol

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.engine.errors import InvalidRequest
from cortex.engine.grammars.answers import bind_answer
from cortex.engine.grammars.checking import SPENT, TrialBudget
from cortex.engine.grammars.formats import FORMATS
from cortex.engine.grammars.lark import MAX_GRAMMAR_BYTES
from cortex.engine.types import ChatRequest, Prompt, ReplyFormat, Tool, ToolChoice


class Call(Protocol):
    name: str
    arguments: str
    is_whole: bool


class Answered(Protocol):
    words: str
    finish: str
    calls: list[Call]


class Model(Protocol):
    def prompt(self, reply: ReplyFormat = ..., seed: int = ..., **asked: Any) -> Prompt: ...
    def answer(self, prompt: Prompt) -> Answered: ...


NAMES = st.text("abcdef_-1", min_size=1, max_size=8)
TEXTS = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "minLength": 1, "maxLength": 6},
        {"type": "string", "pattern": "^[a-f]{1,3}$"},
        {"type": "string", "pattern": "[a-m]"},
        {"enum": ["red", "light green", "null", ""]},
        {"const": "é\n"},
        {"type": ["string", "null"]},
        {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}], "default": None},
        {"$ref": "#/$defs/colour"},
        {"type": "string", "pattern": "^(left|right)$"},
        {"type": "string", "pattern": "^(a|b)[|]$|^\\|\\($"},
        {"type": "string", "format": "date"},
        {"type": "string", "format": "file-path", "maxLength": 4},
    ]
)
OTHERS = st.sampled_from(
    [
        {"type": "integer", "minimum": -3, "maximum": 12},
        {"type": "number", "multipleOf": 0.5, "minimum": 0, "maximum": 9},
        {"type": "boolean"},
        {"type": "null"},
        {"type": ["integer", "null"], "minimum": 0, "maximum": 50},
        {"type": "array", "items": {"$ref": "#/$defs/colour"}, "maxItems": 3},
        {
            "type": "object",
            "properties": {"x": {"type": "boolean"}},
            "required": ["x"],
            "additionalProperties": False,
        },
        {"enum": [1, "two", None, [3]]},
        {"$ref": "#/$defs/size"},
        {"description": "anything"},
        {"type": ["string", "array"], "items": {"type": "string"}, "maxItems": 2},
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"$ref": "#/$defs/size"}, "maxItems": 2},
                {"$ref": "#/$defs/point"},
                {"type": "null"},
            ]
        },
    ]
)
DEFS = {
    "colour": {"type": "string", "enum": ["red", "blue"]},
    "size": {"type": "integer", "minimum": 7, "maximum": 7},
    "point": {
        "type": "object",
        "properties": {"x": {"type": "boolean"}},
        "required": ["x"],
        "additionalProperties": False,
    },
}


@st.composite
def tools(draw: st.DrawFn) -> tuple[Tool, ...]:
    offered: list[Tool] = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)):
        properties = draw(st.dictionaries(NAMES, st.one_of(TEXTS, OTHERS), max_size=4))
        required = draw(st.sets(st.sampled_from(sorted(properties)))) if properties else set[str]()
        schema = {
            "type": "object",
            "properties": properties,
            "required": sorted(required),
            "additionalProperties": False,
            "$defs": DEFS,
        }
        offered.append(Tool(name, "", json.dumps(schema), is_strict=True))
    return tuple(offered)


def check(answered: Answered, offered: tuple[Tool, ...]) -> None:
    by_name = {tool.name: json.loads(tool.parameters) for tool in offered}
    for call in answered.calls:
        assert call.is_whole
        validator = jsonschema_rs.validator_for(by_name[call.name], validate_formats=True)
        # In JSON a date is the grammar library's: it takes a 29 February of any year.
        validator.validate(json.loads(call.arguments.replace("-02-29", "-02-28")))


@pytest.mark.parametrize("spelling", ["json", "xml"])
@settings(max_examples=60)
@given(offered=tools(), seed=st.integers(0, 255))
def test_a_required_call_comes_and_obeys_its_schema(
    model: Model, spelling: Any, offered: tuple[Tool, ...], seed: int
) -> None:
    reply = ReplyFormat("none", spelling, offered)
    answered = model.answer(
        model.prompt(reply, seed, tools=offered, tool_choice=ToolChoice("required"))
    )
    assert answered.finish == "stop"
    assert answered.calls
    assert not answered.words
    check(answered, offered)


@pytest.mark.parametrize("spelling", ["json", "xml"])
def test_calls_that_come_of_themselves_obey_strict_schemas(model: Model, spelling: Any) -> None:
    num_checked = 0

    @settings(max_examples=40)
    @given(offered=tools(), seed=st.integers(0, 255))
    def obeys(offered: tuple[Tool, ...], seed: int) -> None:
        nonlocal num_checked
        reply = ReplyFormat("may_open", spelling, offered)
        choice = ToolChoice("auto", (offered[0].name,))
        answered = model.answer(model.prompt(reply, seed, tools=offered, tool_choice=choice))
        assert {call.name for call in answered.calls} <= {offered[0].name}
        if answered.finish == "stop":
            check(answered, offered)
            num_checked += len(answered.calls)

    obeys()
    assert num_checked


TWO = (Tool("f", "", '{"properties": {"a": {"type": "integer"}}}'), Tool("g"))


@pytest.mark.parametrize("spelling", ["json", "xml"])
@pytest.mark.parametrize("seed", range(5))
def test_a_named_tool_is_the_one_that_is_called(model: Model, spelling: Any, seed: int) -> None:
    choice = ToolChoice("required", ("g",))
    prompt = model.prompt(ReplyFormat("open", spelling, TWO), seed, tools=TWO, tool_choice=choice)
    answered = model.answer(prompt)
    assert {call.name for call in answered.calls} == {"g"}


@pytest.mark.parametrize("spelling", ["json", "xml"])
@pytest.mark.parametrize("seed", range(5))
def test_one_call_is_one_call(model: Model, spelling: Any, seed: int) -> None:
    reply = ReplyFormat("none", spelling, TWO, takes_one_call=True)
    asked: dict[str, Any] = {"tools": TWO, "parallel_tool_calls": False}
    prompt = model.prompt(reply, seed, tool_choice=ToolChoice("required"), **asked)
    assert len(model.answer(prompt).calls) == 1


def test_several_calls_may_be_required_at_once(model: Model) -> None:
    prompts = (
        model.prompt(
            ReplyFormat("none", "json", TWO), seed, tools=TWO, tool_choice=ToolChoice("required")
        )
        for seed in range(20)
    )
    assert any(len(model.answer(prompt).calls) > 1 for prompt in prompts)


def test_tools_that_may_be_called_as_the_model_likes_ask_nothing(model: Model) -> None:
    assert not model.prompt(ReplyFormat("none", "json", TWO), tools=TWO).grammar


@pytest.mark.parametrize("spelling", ["json", "xml"])
@pytest.mark.parametrize(
    "schema",
    [
        '{"type": "object", "properties": {"a": {"not": {"type": "null"}}}}',
        '{"type": "object", "properties": {"a": {"type": "array", "uniqueItems": true}}}',
        '{"allOf": [{"$ref": "http://example.invalid"}]}',
        "[]",
        '{"items":' * 300 + "{}" + "}" * 300,
    ],
)
def test_a_schema_that_cannot_be_obeyed_stops_strict_tools_only(
    model: Model, spelling: Any, schema: str
) -> None:
    for is_strict in (True, False):
        offered = (Tool("f", "", schema, is_strict=is_strict),)
        reply = ReplyFormat("none", spelling, offered)
        asked: dict[str, Any] = {"tools": offered, "tool_choice": ToolChoice("required")}
        if is_strict:
            with pytest.raises(InvalidRequest, match=r"tools: .* f ") as refused:
                model.prompt(reply, **asked)
            assert refused.value.param == "tools"
        else:
            calls = model.answer(model.prompt(reply, **asked)).calls
            assert all(isinstance(json.loads(call.arguments), dict) for call in calls)


@pytest.mark.parametrize(
    "keywords",
    [
        '"type": "string", "allOf": [{"minLength": 3}, {"maxLength": 4}]',
        '"type": "string", "pattern": "(?=a)"',
        '"type": "string", "format": "uuid", "not": {}',
        '"type": ["string", "array"], "anyOf": [{"minLength": 3}, {"maxItems": 2}]',
    ],
)
def test_what_bare_text_cannot_promise_is_refused(model: Model, keywords: str) -> None:
    schema = f'{{"properties": {{"a": {{{keywords}}}}}}}'
    offered = (Tool("f", "", schema, is_strict=True),)
    with pytest.raises(InvalidRequest, match="tools: "):
        model.prompt(ReplyFormat("none", "xml", offered), tools=offered)


@pytest.mark.parametrize(
    ("lengths", "sound"),
    [
        ({"minLength": 1, "maxLength": "9})/\\nEVIL: /x"}, {"minLength": 1}),
        ({"minLength": "0,9})/ | /(x", "maxLength": 9}, {"maxLength": 9}),
        ({"minLength": True, "maxLength": 9}, {"maxLength": 9}),
        ({"minLength": -1}, {}),
        ({"maxLength": 1.5}, {}),
    ],
)
def test_a_length_that_is_no_number_gets_into_no_grammar(
    model: Model, lengths: dict[str, Any], sound: dict[str, Any]
) -> None:
    def grammar(lengths: dict[str, Any], *, is_strict: bool) -> str:
        schema = {"properties": {"a": {"type": "string", **lengths}}}
        offered = (Tool("f", "", json.dumps(schema), is_strict=is_strict),)
        reply = ReplyFormat("none", "xml", offered)
        return model.prompt(reply, tools=offered, tool_choice=ToolChoice("required")).grammar

    with pytest.raises(InvalidRequest, match=r"tools: m..Length .* of f "):
        grammar(lengths, is_strict=True)
    assert grammar(lengths, is_strict=False) == grammar(sound, is_strict=False)


def test_a_length_may_be_null_or_written_as_a_float(model: Model) -> None:
    def grammar(**lengths: Any) -> str:
        schema = {"properties": {"a": {"type": "string", **lengths}}}
        offered = (Tool("f", "", json.dumps(schema), is_strict=True),)
        return model.prompt(ReplyFormat("none", "xml", offered), tools=offered).grammar

    assert grammar(minLength=None, maxLength=20.0) == grammar(maxLength=20)


@pytest.mark.parametrize("form", FORMATS)
def test_bare_text_has_the_format_that_its_schema_asks(model: Model, form: str) -> None:
    schema = {"properties": {"a": {"type": "string", "format": form}}, "required": ["a"]}
    offered = (Tool("f", "", json.dumps(schema), is_strict=True),)
    for seed in range(4):
        reply = ReplyFormat("none", "xml", offered, takes_one_call=True)
        asked: dict[str, Any] = {"tools": offered, "parallel_tool_calls": False}
        prompt = model.prompt(reply, seed, tool_choice=ToolChoice("required"), **asked)
        check(model.answer(prompt), offered)


def test_a_text_that_looks_like_a_list_is_one(model: Model) -> None:
    """Written as a string, "[2]" would be read as a list that the schema does not allow."""
    values: list[Any] = []
    text = {"type": "string", "pattern": r"^(\[2\]|x)$"}
    ones = {"type": "array", "items": {"const": 1}, "minItems": 1, "maxItems": 2}
    schema = {"properties": {"a": {"anyOf": [text, ones]}}, "required": ["a"]}
    offered = (Tool("f", "", json.dumps(schema), is_strict=True),)
    for seed in range(20):
        reply = ReplyFormat("none", "xml", offered)
        prompt = model.prompt(reply, seed, tools=offered, tool_choice=ToolChoice("required"))
        answered = model.answer(prompt)
        check(answered, offered)
        values += [json.loads(call.arguments)["a"] for call in answered.calls]
    assert {type(value) for value in values} == {str, list}


@pytest.mark.parametrize("spelling", ["json", "xml"])
def test_tools_behind_those_that_took_too_long_are_free_or_where_strict_refused(
    spelling: Any,
) -> None:
    asked: list[str] = []

    def why_not(grammar: str, budget: TrialBudget | None) -> str | None:
        asked.append(grammar)
        if budget is None:
            return None
        budget.seconds_left -= 4
        return None if budget.seconds_left > -4 else SPENT

    def grammar(*, is_strict: bool) -> str:
        schemas = [{"properties": {"a": {"type": "integer", "maximum": n}}} for n in range(4)]
        offered = tuple(
            Tool(f"f{n}", "", json.dumps(schema), is_strict=is_strict)
            for n, schema in enumerate(schemas)
        )
        reply = ReplyFormat("none", spelling, offered)
        request = ChatRequest("m", (), 1, 1, tools=offered, tool_choice=ToolChoice("required"))
        return bind_answer(request, reply, why_not).grammar

    obeyed = [f'"maximum":{n}' in grammar(is_strict=False).replace(" ", "") for n in range(4)]
    assert obeyed == [True, True, True, False]
    assert asked[-1].startswith("start: r")  # the whole of it is tried all the same
    with pytest.raises(InvalidRequest, match="parameters of f3 cannot be obeyed: it and") as no:
        grammar(is_strict=True)
    assert "fewer tools" in no.value.hint


_BIG = {"type": "object", "properties": {f"q{n}": {"type": "integer"} for n in range(200)}}
_LISTED = {"type": "string", "enum": [f"value {n}" for n in range(2_000)]}


def _bound(*schemas: dict[str, Any], spelling: Any = "xml", is_strict: bool = False) -> str:
    """The grammar for calls of tools with these schemas, all of which can be had."""
    offered = tuple(
        Tool(f"f{n}", "", json.dumps(schema), is_strict=is_strict)
        for n, schema in enumerate(schemas)
    )
    request = ChatRequest("m", (), 1, 1, tools=offered, tool_choice=ToolChoice("required"))
    reply = ReplyFormat("none", spelling, offered)
    return bind_answer(request, reply, lambda grammar, budget: None).grammar


@pytest.mark.parametrize(
    "value", [{"$ref": "#/$defs/Big"}, {"$ref": "#/properties/of0"}, {"$ref": "#/$defs/Listed"}]
)
def test_parameters_too_many_to_be_held_to_their_schemas_are_free_or_where_strict_refused(
    value: dict[str, Any],
) -> None:
    values: dict[str, Any] = {"of0": _BIG}
    values |= {f"p{n}": {"anyOf": [value, {"const": f"{n}"}]} for n in range(600)}
    schema = {"$defs": {"Big": _BIG, "Listed": _LISTED}, "properties": values}
    began_s = time.process_time()
    grammar = _bound(schema)
    assert "<parameter=p599>" in grammar
    assert len(grammar) < MAX_GRAMMAR_BYTES
    with pytest.raises(InvalidRequest, match=r"too much to be obeyed|at most 1048576 are taken"):
        _bound(schema, is_strict=True)
    assert time.process_time() - began_s < 5.0


def test_parameters_that_ask_the_same_beside_their_notes_are_made_once() -> None:
    values = {f"p{n}": {"$ref": "#/$defs/Big", "description": f"{n}"} for n in range(600)}
    assert _bound({"$defs": {"Big": _BIG}, "properties": values}, is_strict=True).count("q199") < 3


def test_a_parameter_without_references_brings_no_definitions_along() -> None:
    numbers = {"type": "array", "items": {"type": "integer"}}
    assert "q199" not in _bound({"$defs": {"Big": _BIG}, "properties": {"p": numbers}})


def test_a_value_too_long_to_be_held_to_its_schema_is_free_and_the_next_is_not() -> None:
    long = {"type": "array", "items": {"enum": list(range(9_000)), "title": "a" * 40_000}}
    schema = {"properties": {"long": long, "short": {"type": "integer", "maximum": 77}}}
    grammar = _bound(schema)
    assert '"maximum": 77' in grammar
    assert "8999" not in grammar
    assert "8999" in _bound(schema, is_strict=True)


@pytest.mark.parametrize("spelling", ["json", "xml"])
def test_tools_too_many_to_be_held_to_their_schemas_do_not_fail_a_request(spelling: Any) -> None:
    rows = {f"p{n}": {"type": "array", "items": _BIG, "maxItems": n} for n in range(8)}
    schemas = [{"properties": rows, "title": f"{n}"} for n in range(40)]
    assert len(_bound(*schemas, spelling=spelling)) < MAX_GRAMMAR_BYTES


def test_a_name_that_the_spelling_cannot_hold_is_refused(model: Model) -> None:
    for tool in (Tool("f>"), Tool("f", "", '{"properties": {"a<": {}}}', is_strict=True)):
        with pytest.raises(InvalidRequest, match="cannot be spelt"):
            model.prompt(
                ReplyFormat("none", "xml", (tool,)),
                tools=(tool,),
                tool_choice=ToolChoice("required"),
            )


def test_who_cannot_call_cannot_be_made_to(model: Model) -> None:
    with pytest.raises(InvalidRequest, match="no way to call") as refused:
        model.prompt(tools=TWO, tool_choice=ToolChoice("required"))
    assert refused.value.param == "tool_choice"


def test_a_choice_of_a_tool_that_is_not_offered_is_refused(model: Model) -> None:
    with pytest.raises(InvalidRequest, match="'h'"):
        model.prompt(
            ReplyFormat("none", "json", TWO), tools=TWO, tool_choice=ToolChoice("auto", ("h",))
        )


def test_hidden_depths_of_a_schema_are_no_trouble(model: Model) -> None:
    """Keywords of the wrong type, as only fuzzers send them."""
    for schema in (
        '{"properties": [1], "required": {"a": 1}, "additionalProperties": 3}',
        '{"required": ["a", 1, null], "properties": {"a": 7, "b": {"type": 3, "enum": 5}}}',
        '{"properties": {"a": {"type": "string", "minLength": "x", "pattern": 3, "enum": {}}}}',
        '{"properties": {"a": {"type": "string", "minLength": -4, "maxLength": 1e99}}}',
        '{"properties": {"a": {"anyOf": 3}, "b": {"anyOf": [3, null]}, "c": {"$ref": 4}}}',
        '{"properties": {"a": {"$ref": "#/properties/a"}, "b": {"type": "string", "$ref": "#"}}}',
        '{"properties": {"a": {"type": ["string", 3, {}]}, "b": false}, "$defs": 3}',
    ):
        for spelling in ("json", "xml"):
            for is_strict in (True, False):
                offered = (Tool("f", "", schema, is_strict=is_strict),)
                reply = ReplyFormat("none", spelling, offered)
                try:
                    prompt = model.prompt(reply, tools=offered, tool_choice=ToolChoice("required"))
                except InvalidRequest:
                    assert is_strict
                else:
                    assert model.answer(prompt).calls
