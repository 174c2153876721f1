"""What a chat asks of the decoder and of the model's reasoning."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortex.engine.errors import InvalidRequest
from cortex.engine.types import ReasoningWish
from cortex.peer.dialects.asked import Arrival, Asked
from cortex.peer.dialects.chat.parse import parse_chat
from cortex.peer.dialects.chat.reply import ChatTeller
from cortex.peer.errors import UnsupportedParameter


def parse(**fields: Any) -> Asked[ChatTeller]:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]} | fields
    return parse_chat(json.dumps(body).encode(), Arrival(now_s=7, random_seed=11, id_hex="0f"))


def test_every_sampling_field_is_carried():
    request = parse(
        temperature=0, top_p=0.5, top_k=-1, min_p=0.1, frequency_penalty=-2, presence_penalty=2,
        repetition_penalty=1.1, seed=-2, stop="end", max_tokens=5,
    ).request  # fmt: skip
    assert request.sampling.temperature == 0.0
    assert (request.sampling.top_p, request.sampling.top_k) == (0.5, 0)
    assert (request.sampling.min_p, request.sampling.repetition_penalty) == (0.1, 1.1)
    assert (request.sampling.frequency_penalty, request.sampling.presence_penalty) == (-2, 2)
    assert (request.stop, request.max_tokens, request.seed) == (("end",), 5, 2**63 - 2)


def test_every_wish_to_the_decoder_is_carried():
    parsed = parse(
        n=3, logprobs=True, top_logprobs=5, logit_bias={"7": -100, "12": 0.5, "3": None},
        ignore_eos=True, min_tokens=4, return_token_ids=True, priority=-3,
    )  # fmt: skip
    request = parsed.request
    assert (request.num_choices, request.top_logprobs) == (3, 5)
    assert request.logit_bias == ((7, -100.0), (12, 0.5))
    assert (request.priority, parse().request.priority) == (-3, 0)
    assert (request.ignore_eos, request.min_tokens) == (True, 4)
    assert parsed.teller.head.wants_token_ids
    assert parse(logprobs=True).request.top_logprobs == 0
    assert parse(top_logprobs=0).request.top_logprobs is None


def test_max_completion_tokens_wins_over_max_tokens():
    assert parse(max_completion_tokens=3, max_tokens=9).request.max_tokens == 3


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_minus_one_is_no_limit_and_none_at_all_is_refused_with_the_next_step(name: str):
    assert parse(**{name: -1}).request.max_tokens is None
    assert parse(**{name: -1.0}).request.max_tokens is None
    for wrong in (0, -2, -0.5):
        with pytest.raises(InvalidRequest) as refused:
            parse(**{name: wrong})
        assert refused.value.param == name
    with pytest.raises(InvalidRequest, match="at least 1") as refused:
        parse(**{name: 0})
    assert "leave it out" in refused.value.hint


@pytest.mark.parametrize("seed", [-1, -1.0])
def test_a_seed_of_minus_one_is_another_one_each_time(seed: float):
    assert parse(seed=seed).request.seed == parse().request.seed == 11


@pytest.mark.parametrize("wish", [10**30, 1e300])
def test_more_tokens_than_any_context_is_no_error(wish: float):
    assert parse(max_tokens=wish).request.max_tokens == 2**31 - 1


def test_reasoning_effort_is_a_wish_of_its_own():
    assert parse(reasoning_effort="none").request.reasoning == ReasoningWish("none")
    assert parse().request.reasoning == ReasoningWish()


@pytest.mark.parametrize(
    ("wish", "read"),
    [
        ({"think": False}, ReasoningWish(thinks=False)),
        ({"think": True}, ReasoningWish(thinks=True)),
        ({"think": "low"}, ReasoningWish("low")),
        ({"think": "maybe"}, ReasoningWish()),
        ({"enable_thinking": False}, ReasoningWish(thinks=False)),
        ({"enable_thinking": True, "thinking_budget": 50}, ReasoningWish(None, True, 50)),
        ({"thinking_budget": -1}, ReasoningWish()),
        ({"thinking": {"type": "disabled"}}, ReasoningWish(thinks=False)),
        ({"thinking": {"type": "enabled", "budget_tokens": 9.0}}, ReasoningWish(None, True, 9)),
        ({"thinking": {"type": "adaptive", "budget_tokens": 9}}, ReasoningWish()),
        ({"thinking": {"type": "auto"}}, ReasoningWish()),
        ({"thinking": {}}, ReasoningWish()),
        ({"thinking": False}, ReasoningWish(thinks=False)),
        ({"reasoning": {"effort": "none"}}, ReasoningWish("none")),
        ({"reasoning": {"enabled": False}}, ReasoningWish(thinks=False)),
        ({"reasoning": {"max_tokens": 70, "exclude": True}}, ReasoningWish(budget_tokens=70)),
        ({"reasoning": False}, ReasoningWish(thinks=False)),
        ({"reasoning": True}, ReasoningWish(thinks=True)),
        ({"think": "True"}, ReasoningWish(thinks=True)),
        ({"think": "false"}, ReasoningWish(thinks=False)),
        (dict.fromkeys(["think", "enable_thinking", "thinking", "reasoning"]), ReasoningWish()),
    ],
)
def test_reasoning_is_asked_for_in_the_words_of_other_servers_too(
    wish: dict[str, Any], read: ReasoningWish
):
    assert parse(**wish).request.reasoning == read


def test_the_dialects_own_effort_goes_first_and_where_switches_differ_reasoning_is_off():
    both = parse(reasoning_effort="high", reasoning={"effort": "low"}, think="medium")
    assert both.request.reasoning == ReasoningWish("high")
    assert parse(reasoning_effort="auto", think="low").request.reasoning == ReasoningWish("low")
    assert parse(think=True, enable_thinking=False).request.reasoning.thinks is False
    assert parse(think=False, thinking={"type": "enabled"}).request.reasoning.thinks is False


@pytest.mark.parametrize(
    "wish",
    [
        {"think": True, "reasoning_effort": "none"},
        {"reasoning": {"enabled": True, "effort": "none"}},
        {"enable_thinking": True, "think": "minimal"},
        {"thinking": {"type": "enabled", "budget_tokens": 50}, "reasoning_effort": "none"},
    ],
)
def test_an_effort_of_none_goes_before_a_switch(wish: dict[str, Any]):
    assert parse(**wish).request.reasoning.thinks is False
    louder = parse(**wish | {"reasoning_effort": "high"}).request.reasoning
    assert (louder.effort, louder.thinks) == ("high", True)


@pytest.mark.parametrize(
    ("wish", "param"),
    [
        ({"think": 1}, "think"),
        ({"enable_thinking": "no"}, "enable_thinking"),
        ({"reasoning": "high"}, "reasoning"),
        ({"reasoning": {"max_tokens": 0.5}}, "reasoning.max_tokens"),
        ({"thinking": "disabled"}, "thinking"),
        ({"thinking": {"budget_tokens": -2}}, "thinking.budget_tokens"),
        ({"thinking_budget": "many"}, "thinking_budget"),
    ],
)
def test_a_switch_of_reasoning_in_another_form_is_refused_by_name(wish: dict[str, Any], param: str):
    with pytest.raises(InvalidRequest) as refused:
        parse(**wish)
    assert refused.value.param == param


def test_whole_numbers_are_whole_however_they_are_written():
    request = parse(seed=7.0, n=2.0, top_k=40.0, max_tokens=9.0).request
    assert (request.seed, request.num_choices, request.max_tokens) == (7, 2, 9)
    assert request.sampling.top_k == 40
    for name in ("seed", "n", "top_k"):
        with pytest.raises(InvalidRequest) as refused:
            parse(**{name: 1.5})
        assert refused.value.param == name


@pytest.mark.parametrize("word", ["default", "auto", "", "ultra", "High"])
def test_a_word_that_is_no_effort_asks_nothing(word: str):
    assert parse(reasoning_effort=word).request.reasoning == ReasoningWish()


@pytest.mark.parametrize(
    ("wish", "instead"),
    [
        ({"allowed_token_ids": [5]}, "logit_bias"),
        ({"bad_words": ["a"]}, "logit_bias"),
        ({"skip_special_tokens": False}, "return_token_ids"),
        ({"prompt_logprobs": 0}, "echo"),
        ({"use_beam_search": True}, "send n"),
        ({"truncate_prompt_tokens": 4096}, "cut the text"),
        ({"repeat_penalty": 1.1}, "send repetition_penalty"),
        ({"repeat_penalty": 1.1, "repetition_penalty": 1.2}, "send repetition_penalty"),
        ({"n_predict": 10}, "send max_tokens"),
        ({"num_predict": 10, "max_tokens": 20}, "send max_tokens"),
        (
            {"n_predict": 10, "max_tokens": 10, "max_completion_tokens": 20},
            "send max_completion_tokens",
        ),
        ({"repeat_penalty": 1, "repetition_penalty": 1.3}, "send repetition_penalty"),
        ({"repeat_penalty": 1.2, "options": {"repeat_penalty": 1}}, "send repetition_penalty"),
        ({"include_stop_str_in_output": True, "stop_token_ids": [5]}, "stop_token_ids"),
    ],
)
def test_other_servers_wishes_that_are_not_obeyed_are_refused_with_what_is(
    wish: dict[str, Any], instead: str
):
    with pytest.raises(UnsupportedParameter) as refused:
        parse(**wish)
    assert refused.value.param == next(iter(wish))
    assert instead in refused.value.hint


@pytest.mark.parametrize(
    "wish",
    [
        {"allowed_token_ids": [], "bad_words": [], "skip_special_tokens": True},
        {"include_stop_str_in_output": False, "stop_token_ids": [5]},
        {"include_stop_str_in_output": True, "stop_token_ids": []},
        dict.fromkeys(["allowed_token_ids", "bad_words", "skip_special_tokens", "stop_token_ids"]),
        dict.fromkeys(["prompt_logprobs", "include_stop_str_in_output"]),
        {"use_beam_search": False, "truncate_prompt_tokens": -1},
        {"repeat_penalty": 1.0, "n_predict": -1, "num_predict": None},
        {"repeat_penalty": 1.2, "repetition_penalty": 1.2},
        {"n_predict": 10, "num_predict": 10, "max_tokens": 10},
        {"n_predict": 10, "options": {"num_predict": 10}, "max_completion_tokens": 10},
        {"options": {"stop": [], "presence_penalty": 0, "frequency_penalty": 0}},
        {"options": {"stop": ["a"]}, "stop": "a"},
        {"options": {"stop": "a"}, "stop": ["a"]},
        {"options": {"top_k": 0}, "top_k": -1},
        {"options": {"num_ctx": 4096, "seed": -1, "num_predict": -1, "temperature": None}},
        {"options": {"temperature": 0.5}, "temperature": 0.5},
        {"options": "fast"},
        {"keep_alive": "5m", "cache_prompt": True, "ttl": 60},
    ],
)
def test_other_servers_wishes_that_ask_nothing_are_taken(wish: dict[str, Any]):
    request = parse(**wish).request
    assert list(request.stop_token_ids) == (wish.get("stop_token_ids") or [])
    assert request.includes_stop is bool(wish.get("include_stop_str_in_output"))


def test_a_penalty_that_does_nothing_in_another_servers_name_is_not_left_to_the_model():
    assert parse().request.sampling.repetition_penalty is None
    assert parse(repeat_penalty=1).request.sampling.repetition_penalty == 1
    wishes = parse(
        options={"repeat_penalty": 1.0, "presence_penalty": 0, "frequency_penalty": 0}
    ).request.sampling
    assert (wishes.repetition_penalty, wishes.presence_penalty, wishes.frequency_penalty) == (
        1,
        0,
        0,
    )


@pytest.mark.parametrize(
    ("name", "value", "ours"),
    [
        ("temperature", 0, "temperature"), ("top_p", 0.5, "top_p"), ("top_k", 1, "top_k"),
        ("min_p", 0.1, "min_p"), ("seed", 4, "seed"), ("stop", ["a"], "stop"),
        ("stop", {"a": 1}, "stop"), ("top_k", "many", "top_k"),
        ("presence_penalty", 1, "presence_penalty"), ("num_predict", 10, "max_tokens"),
        ("frequency_penalty", 1, "frequency_penalty"),
        ("repeat_penalty", 1.1, "repetition_penalty"),
    ],
)  # fmt: skip
def test_what_changes_an_answer_is_refused_within_options(name: str, value: Any, ours: str):
    with pytest.raises(UnsupportedParameter) as refused:
        parse(options={"num_ctx": 4096, name: value})
    assert (refused.value.param, refused.value.hint) == (f"options.{name}", f"send {ours}")


@pytest.mark.parametrize("wrong", [[-1], [10**9], ["5"], [0.5], 5, [5] * 65])
def test_stop_tokens_that_are_no_token_ids_or_too_many_are_refused_by_name(wrong: Any):
    with pytest.raises(InvalidRequest) as refused:
        parse(stop_token_ids=wrong)
    assert (refused.value.param or "").startswith("stop_token_ids")
