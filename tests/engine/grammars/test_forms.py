"""Words held to a form: whatever the model would rather write, they obey it."""

from __future__ import annotations

import json
import re
from typing import Any, Protocol

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cortex.engine.errors import InvalidRequest
from cortex.engine.types import Grammar, Prompt, ReasoningWish, ReplyFormat, Tool


class Answered(Protocol):
    words: str
    reasoning: str
    finish: str
    token_ids: tuple[int, ...]
    calls: list[Any]
    usage: Any


class Model(Protocol):
    def prompt(self, reply: ReplyFormat = ..., seed: int = ..., **asked: Any) -> Prompt: ...
    def answer(self, prompt: Prompt, resume: tuple[int, ...] = ...) -> Answered: ...


NAMES = st.text('abcXYZ_ é"\\\n', min_size=1, max_size=6)
STRINGS = st.one_of(
    st.just({"type": "string"}),
    st.fixed_dictionaries(
        {"type": st.just("string"), "minLength": st.integers(0, 3), "maxLength": st.integers(3, 9)}
    ),
    st.sampled_from(["^[a-f]{2,5}$", "[a-m]+[n-z]", "^\\d{3}-\\d{4}$"]).map(
        lambda pattern: {"type": "string", "pattern": pattern}
    ),
    st.sampled_from(["date", "uuid", "ipv4"]).map(lambda f: {"type": "string", "format": f}),
)
LEAVES = st.one_of(
    STRINGS,
    st.integers(-50, 50).map(lambda low: {"type": "integer", "minimum": low, "maximum": low + 70}),
    st.sampled_from([{"type": t} for t in ("integer", "number", "boolean", "null")]),
    st.lists(st.one_of(st.integers(-(2**53), 2**53), NAMES, st.none()), min_size=1, max_size=4).map(
        lambda values: {"enum": values}
    ),
    NAMES.map(lambda value: {"const": value}),
)


def containers(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    arrays = st.tuples(parts, st.integers(0, 2), st.integers(0, 2)).map(
        lambda t: {"type": "array", "items": t[0], "minItems": t[1], "maxItems": t[1] + t[2]}
    )
    return st.one_of(
        arrays,
        st.dictionaries(NAMES, parts, max_size=4).flatmap(objects),
        st.lists(parts, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
    )


def objects(properties: dict[str, Any]) -> st.SearchStrategy[Any]:
    required = st.sets(st.sampled_from(sorted(properties))) if properties else st.just(set[str]())
    return required.map(
        lambda names: {
            "type": "object",
            "properties": properties,
            "required": sorted(names),
            "additionalProperties": False,
        }
    )


SCHEMAS = st.recursive(LEAVES, containers, max_leaves=8)


@settings(max_examples=60)
@given(schema=SCHEMAS, seed=st.integers(0, 255))
def test_json_obeys_its_schema(model: Model, schema: Any, seed: int) -> None:
    prompt = model.prompt(seed=seed, grammar=Grammar("json_schema", json.dumps(schema)))
    answered = model.answer(prompt)
    assert answered.finish == "stop"
    # A number may be larger than any that Python has.
    value = json.loads(
        answered.words, parse_float=lambda text: max(-1e300, min(1e300, float(text)))
    )
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(value)


def test_any_json_object_is_an_object(model: Model) -> None:
    grammar = Grammar("json_object")
    answers = [model.answer(model.prompt(seed=seed, grammar=grammar)) for seed in range(8)]
    assert {answered.finish for answered in answers} <= {"stop", "length"}
    whole = [answered.words for answered in answers if answered.finish == "stop"]
    assert whole and all(isinstance(json.loads(words), dict) for words in whole)


@pytest.mark.parametrize(
    "regex", ["[a-z]{3,8}@[a-z]+/(com|org)", "^\\d\\d:\\d\\d$", "a\nb", "\\p{Lu}{2}", "//x"]
)
@pytest.mark.parametrize("seed", range(4))
def test_words_match_their_expression(model: Model, regex: str, seed: int) -> None:
    words = model.answer(model.prompt(seed=seed, grammar=Grammar("regex", regex))).words
    python = regex.replace("\\p{Lu}{2}", "[^\\W\\d_]{2}")
    assert re.fullmatch(python, words)


@pytest.mark.parametrize("seed", range(4))
def test_the_choice_is_one_of_them(model: Model, seed: int) -> None:
    choices = ["yes", "no", "yes, but", 'quoted "é"\n\x7f', "<think>"]
    prompt = model.prompt(seed=seed, grammar=Grammar("choice", json.dumps(choices)))
    assert model.answer(prompt).words in choices


def test_lark_rules_hold(model: Model) -> None:
    lark = (
        'start: "sum" expr // <not a token>\nexpr: NUM | "[" expr "+" expr "]"\nNUM: /[0-9]{1,3}/\n'
    )
    grammar = Grammar("lark", lark)
    prompts = [model.prompt(seed=seed, grammar=grammar, max_tokens=400) for seed in range(16)]
    whole = [one.words for one in map(model.answer, prompts) if one.finish == "stop"]
    assert any("[" in words for words in whole)
    for words in whole:
        inner = None
        while inner != words:
            inner, words = words, re.sub(r"\[\d{1,3}\+\d{1,3}\]", "1", words)
        assert re.fullmatch(r"sum\d{1,3}", words)


def test_a_form_that_is_complete_ends_the_answer_even_where_nothing_else_may(model: Model) -> None:
    choice = Grammar("choice", '["yes"]')
    endless = model.answer(model.prompt(grammar=choice, ignore_eos=True))
    assert (endless.words, endless.finish) == ("yes", "stop")
    too_short = model.answer(model.prompt(grammar=choice, min_tokens=50))
    assert (too_short.words, too_short.finish) == ("yes", "stop")


def test_an_answer_cut_inside_its_form_ends_by_length(model: Model) -> None:
    answered = model.answer(model.prompt(grammar=Grammar("json_object"), max_tokens=3))
    assert (answered.finish, len(answered.token_ids)) == ("length", 3)


@pytest.mark.parametrize("reasoning", ["open", "may_open"])
@pytest.mark.parametrize("seed", range(6))
def test_reasoning_is_free_and_the_words_behind_it_are_not(
    model: Model, reasoning: Any, seed: int
) -> None:
    choice = Grammar("choice", '["yes", "no"]')
    answered = model.answer(model.prompt(ReplyFormat(reasoning), seed, grammar=choice))
    assert answered.words in ("yes", "no")
    assert answered.finish == "stop"
    if reasoning == "open":
        assert answered.reasoning


@pytest.mark.parametrize("seed", range(6))
def test_an_answer_resumed_anywhere_goes_on_as_it_would_have(model: Model, seed: int) -> None:
    prompt = model.prompt(
        ReplyFormat("open"), seed, grammar=Grammar("json_schema", '{"type": "array"}'),
        reasoning=ReasoningWish(budget_tokens=5), max_tokens=60,
    )  # fmt: skip
    whole = model.answer(prompt)
    for size in range(len(whole.token_ids)):
        resumed = model.answer(prompt, whole.token_ids[:size])
        assert (resumed.token_ids, resumed.finish) == (whole.token_ids, whole.finish)


@pytest.mark.parametrize("seed", range(12))
def test_beside_a_form_tools_may_be_called_instead(model: Model, seed: int) -> None:
    tools = (Tool("f", "", '{"properties": {"a": {"type": "integer"}}, "required": ["a"]}'),)
    prompt = model.prompt(
        ReplyFormat("none", "json", tools),
        seed,
        tools=tools,
        grammar=Grammar("regex", "[ a<>_c-t]+"),
    )
    answered = model.answer(prompt)
    assert bool(answered.calls) != bool(answered.words)
    assert all(isinstance(json.loads(call.arguments)["a"], int) for call in answered.calls)


def test_a_mark_inside_of_words_that_obey_a_form_begins_no_call(model: Model) -> None:
    tools = (Tool("f"),)
    text = 'the mark is <tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    prompt = model.prompt(
        ReplyFormat("none", "json", tools), tools=tools,
        grammar=Grammar("choice", json.dumps([text])),
    )  # fmt: skip
    answers = [model.answer(replace(prompt, token_ids=(seed,))) for seed in range(8)]
    assert {a.words for a in answers if not a.calls} == {text}


def test_a_form_that_leads_nowhere_ends_its_answer_as_the_clients_own_error(model: Model) -> None:
    prompt = model.prompt(grammar=Grammar("lark", 'start: "a" b\nb: b "c"'))
    with pytest.raises(InvalidRequest, match="after 1 tokens nothing may come next"):
        model.answer(prompt)


@pytest.mark.parametrize("form", ["binary", "path", "cuid", "uri-reference", "unknown"])
def test_a_format_of_an_applications_own_asks_nothing(model: Model, form: str) -> None:
    part = {"type": "string", "format": form, "pattern": "^(a|b)$"}
    schema: Any = {"properties": {"format": part}}
    schema |= {"type": "object", "required": ["format"]}
    grammar = Grammar("json_schema", json.dumps(schema))
    answered = model.answer(model.prompt(grammar=grammar))
    assert json.loads(answered.words)["format"] in ("a", "b")


@pytest.mark.parametrize(
    ("kind", "source", "reason"),
    [
        ("json_schema", '{"not": {}}', '"not"'),
        ("json_schema", '{"type": "array", "uniqueItems": true}', '"uniqueItems"'),
        ("json_schema", '{"$ref": "http://example.invalid/s"}', "example.invalid"),
        ("json_schema", '{"$ref": "#/nowhere"}', "nowhere"),
        ("json_schema", '{"items": {"$ref": "#/items"}}', "itself: '#/items'"),
        ("json_schema", '{"items": {"anyOf": [{"$ref": "#/items"}]}}', "itself: '#/items'"),
        ("json_schema", '{"enum": ["a", 9007199254740993]}', "9007199254740993"),
        ("json_schema", '{"items": {"const": {"a": [-9007199254740993]}}}', "-9007199254740993"),
        ("json_schema", '{"oneOf": [{"minLength": 1}, {"maxLength": 3}]}', "oneOf"),
        ("json_schema", '{"x-guidance": {"lenient": true}, "not": {}}', '"not"'),
        ("json_schema", '{"minimum": 2, "maximum": 1, "type": "number"}', "minimum"),
        ("json_schema", "false", "no schema"),
        ("json_schema", "[1]", "no schema"),
        ("json_schema", '{"a": NaN}', "not the JSON"),
        ("json_schema", '{"enum": []}', "empty"),
        ("regex", "[a", "unclosed"),
        ("regex", "(?=a)b", "look-around"),
        ("regex", "", "empty"),
        ("choice", "[]", "list of"),
        ("choice", '["a", 1]', "list of"),
        ("lark", "start: nothing", "nothing"),
        ("lark", "start: <|im_start|>", "angle brackets"),
        ("lark", "start: <[258]>", "angle brackets"),
        ("lark", 'start: /x/ <think> "<"', "angle brackets"),
        ("lark", "start: @main", "other grammars"),
        ("lark", 'start[stop="x"]: /.*/', "option stop"),
        ("lark", "start[max_tokens=3]: /.*/", "option max_tokens"),
        ("lark", 'start: NONE\nNONE: "a" & "b"', "nothing may come first"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_by_name(
    model: Model, kind: Any, source: str, reason: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        model.prompt(grammar=Grammar(kind, source, "response_format.x"))
    assert reason in refused.value.message
    assert refused.value.param == "response_format.x"
