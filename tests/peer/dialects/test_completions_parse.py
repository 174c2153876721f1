"""The plain completions dialect, inwards."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.errors import CortexError, InvalidRequest
from cortex.engine.frames import pack_value, unpack_value
from cortex.engine.types import ChatRequest, Grammar, RawText, RawTokens
from cortex.peer.dialects.asked import Arrival, Asked
from cortex.peer.dialects.completions.parse import parse_completion
from cortex.peer.dialects.completions.reply import CompletionTeller
from cortex.peer.errors import UnsupportedParameter

ARRIVAL = Arrival(now_s=7, random_seed=11, id_hex="0f")


def parse(**fields: Any) -> Asked[CompletionTeller]:
    body = {"model": "m", "prompt": "Once"} | fields
    return parse_completion(json.dumps(body).encode(), ARRIVAL)


def refusal(**fields: Any) -> CortexError:
    with pytest.raises(CortexError) as caught:
        parse(**fields)
    return caught.value


@pytest.mark.parametrize(
    ("prompt", "raw"),
    [
        ("Once", [RawText("Once")]),
        (["a", "b"], [RawText("a"), RawText("b")]),
        ([5, 6], [RawTokens((5, 6))]),
        ([[5], [6, 7]], [RawTokens((5,)), RawTokens((6, 7))]),
        ([[5], "b"], [RawTokens((5,)), RawText("b")]),
    ],
)
def test_every_form_of_prompt_is_read(prompt: Any, raw: list[RawText | RawTokens]):
    requests = parse(prompt=prompt).requests
    assert [request.raw for request in requests] == raw
    assert all(request.messages == () for request in requests)


def test_wishes_are_those_of_every_prompt():
    parsed = parse(
        prompt=["a", "b"], n=2, best_of=2, logprobs=3, max_tokens=9, seed=4, temperature=0.5,
        stop=["x"], logit_bias={"3": 1}, ignore_eos=True, echo=False, suffix="", stream=True,
        stream_options={"include_usage": True}, return_token_ids=True, priority=8,
    )  # fmt: skip
    assert (
        parsed.is_streamed
        and parsed.teller.head.include_usage
        and parsed.teller.head.wants_token_ids
    )
    for request in parsed.requests:
        assert (request.num_choices, request.top_logprobs, request.max_tokens) == (2, 3, 9)
        assert (request.seed, request.sampling.temperature, request.stop) == (4, 0.5, ("x",))
        assert (request.logit_bias, request.ignore_eos) == (((3, 1.0),), True)
        assert request.priority == 8


def test_prompts_without_a_seed_draw_each_for_itself():
    first, second = parse(prompt=["a", "a"]).requests
    assert first.seed != second.seed


def test_sixteen_tokens_are_given_where_none_are_asked_for():
    assert parse().requests[0].max_tokens == 16


def test_minus_one_is_as_many_tokens_as_the_context_leaves():
    assert parse(max_tokens=-1).requests[0].max_tokens is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n_predict": 10}, "n_predict"),
        # No limit: left out it would be sixteen tokens.
        ({"n_predict": -1}, "n_predict"),
        ({"num_predict": -1}, "num_predict"),
        ({"options": {"num_predict": -1}}, "options.num_predict"),
        ({"repeat_penalty": 1.1, "max_tokens": 3}, "repeat_penalty"),
        ({"use_beam_search": True}, "use_beam_search"),
        ({"truncate_prompt_tokens": 9}, "truncate_prompt_tokens"),
        ({"options": {"num_predict": 9}}, "options.num_predict"),
    ],
)
def test_other_servers_names_are_refused_where_they_ask_for_more(
    fields: dict[str, Any], param: str
):
    error = refusal(**fields)
    assert isinstance(error, UnsupportedParameter)
    assert (error.param, bool(error.hint)) == (param, True)


def test_other_servers_names_beside_ours_with_the_same_value_are_taken():
    """As clients send them that send every name they know."""
    [request] = parse(
        max_tokens=9, n_predict=9, num_predict=9, repeat_penalty=1.2, repetition_penalty=1.2
    ).requests
    assert (request.max_tokens, request.sampling.repetition_penalty) == (9, 1.2)
    assert parse(max_tokens=-1, n_predict=-1).requests[0].max_tokens is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [1.5]}, "prompt[0]"),
        ({"prompt": [True]}, "prompt[0]"),
        ({"prompt": [-1]}, "prompt[0]"),
        ({"prompt": [2**31]}, "prompt[0]"),
        ({"prompt": [[1], ["a"]]}, "prompt[1][0]"),
        ({"prompt": ["a", 1]}, "prompt[1]"),
        ({"prompt": ["a"] * 33}, "prompt"),
        ({"prompt": ["a"] * 17, "n": 2}, "prompt"),
        ({"logprobs": 6}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"max_tokens": -2}, "max_tokens"),
        ({"priority": 1000}, "priority"),
    ],
)
def test_wrong_field_is_refused_by_name(fields: dict[str, Any], param: str):
    error = refusal(**fields)
    assert isinstance(error, InvalidRequest)
    assert error.param == param


def test_an_echo_may_be_all_that_is_wanted():
    [request] = parse(echo=True, max_tokens=0).requests
    assert (request.echo, request.max_tokens) == (True, 0)
    assert not parse().requests[0].echo


@pytest.mark.parametrize("fields", [{"suffix": "x"}, {"best_of": 2}])
def test_what_is_not_built_is_refused_by_name(fields: dict[str, Any]):
    error = refusal(**fields)
    assert isinstance(error, UnsupportedParameter)
    assert error.param == next(iter(fields))


@pytest.mark.parametrize(
    ("fields", "grammar"),
    [
        ({"response_format": {"type": "json_object"}}, Grammar("json_object")),
        ({"response_format": {"type": "text"}}, None),
        (
            {"structured_outputs": {"regex": "a+"}},
            Grammar("regex", "a+", "structured_outputs.regex"),
        ),
    ],
)
def test_what_the_answer_has_to_be_is_asked_for_every_prompt(
    fields: dict[str, Any], grammar: Grammar | None
):
    requests = parse(prompt=["a", "b"], **fields).requests
    assert [request.grammar for request in requests] == [grammar, grammar]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"structured_outputs": {}}, "structured_outputs"),
    ],
)
def test_a_form_that_says_too_little_is_refused_by_name(fields: dict[str, Any], param: str):
    assert refusal(**fields).param == param


def test_other_servers_names_of_structured_outputs_are_refused_with_ours():
    error = refusal(grammar="root ::= a")
    assert isinstance(error, UnsupportedParameter)
    assert error.param == "grammar"
    assert error.hint == "send structured_outputs.grammar, written in Lark"
    assert parse(guided_json=None).requests
    assert refusal(prompt_logprobs=1).param == "prompt_logprobs"


def test_a_refused_suffix_says_how_a_middle_is_filled_in():
    assert "<|fim_prefix|>…<|fim_suffix|>…<|fim_middle|>" in refusal(suffix="x").hint


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
NAMES = st.sampled_from([
    "model", "prompt", "n", "best_of", "logprobs", "echo", "suffix", "stop", "seed", "logit_bias",
    "stream_options", "response_format", "structured_outputs",
])  # fmt: skip


@given(st.dictionaries(NAMES, JSON), st.booleans())
def test_fuzzed_bodies_raise_nothing_but_our_errors(body: dict[str, Any], is_whole: bool):
    if is_whole:
        body = {"model": "m", "prompt": "a"} | body
    try:
        parsed = parse_completion(json.dumps(body).encode(), ARRIVAL)
    except CortexError as error:
        assert error.message
        return
    for request in parsed.requests:
        assert unpack_value(ChatRequest, pack_value(request)) == request
