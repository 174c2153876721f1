"""What a client wishes of the reasoning, in the words of each template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cortex.engine.chat.reasoning_control import ReasoningControls, find_controls
from cortex.engine.template import ChatTemplate, read_template
from cortex.engine.types import ReasoningWish

_ROOT = Path(__file__).parents[3]
_SWITCH = ReasoningControls("enable_thinking")
_PRINTED = ReasoningControls(None, ("low", "medium", "high"))
_NAMED = ReasoningControls("thinking", ("none", "high", "max"))
_BUDGET = ReasoningControls(takes_budget=True)


def controls_of(source: str) -> ReasoningControls:
    return find_controls(ChatTemplate(source, {}, "a test"))


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("engine/assets/cortex-nano", ReasoningControls()),
        ("engine/assets/fake", _SWITCH),
        ("tests/golden/chat", _SWITCH),
        ("tests/golden/llama", ReasoningControls()),
        ("tests/golden/qwen3", _SWITCH),
    ],
)
def test_templates_of_real_folders(folder: str, expected: ReasoningControls) -> None:
    assert find_controls(read_template(_ROOT / folder)) == expected


def test_a_name_that_changes_nothing_is_no_control() -> None:
    assert controls_of("{{ 'same' if enable_thinking else 'same' }}") == ReasoningControls()
    assert controls_of("{{ 'set' if enable_thinking is defined }}") == ReasoningControls()


def test_a_name_that_the_template_sets_itself_where_nobody_does_is_a_control() -> None:
    source = (
        "{% if thinking is not defined %}{% set thinking = false %}{% endif %}"
        "{{ '<think>' if thinking else '</think>' }}"
    )
    assert controls_of(source) == ReasoningControls("thinking")


def test_a_template_that_prints_any_effort_takes_the_three_that_models_learn() -> None:
    source = (
        "{% if reasoning_effort is not defined %}{% set reasoning_effort = 'medium' %}{% endif %}"
        "Reasoning: {{ reasoning_effort }}"
    )
    assert controls_of(source) == _PRINTED


def test_efforts_that_a_template_tells_apart_are_its_own() -> None:
    told = "{% if reasoning_effort in ('none', 'high', 'max') %}{{ reasoning_effort }}{% endif %}"
    assert controls_of("{{ thinking }}" + told) == _NAMED
    refusing = told.replace("{% endif %}", "{% else %}{{ raise_exception('no') }}{% endif %}")
    assert controls_of(refusing).efforts == ("none", "high", "max")


def test_an_effort_that_counts_only_while_thinking_is_found() -> None:
    source = "{{ (reasoning_effort == 'low') if enable_thinking else '' }}"
    assert controls_of(source) == ReasoningControls("enable_thinking", ("low",))


def test_a_budget_in_tokens_is_found() -> None:
    assert controls_of("{% if thinking_budget == 0 %}no{% else %}yes{% endif %}") == _BUDGET


@pytest.mark.parametrize(
    ("controls", "wish", "options"),
    [
        (_SWITCH, {}, {}),
        (_SWITCH, {"effort": "none"}, {"enable_thinking": False}),
        (_SWITCH, {"effort": "minimal"}, {"enable_thinking": False}),
        (_SWITCH, {"thinks": False, "effort": "high"}, {"enable_thinking": False}),
        (_SWITCH, {"thinks": True, "effort": "none"}, {"enable_thinking": True}),
        (_SWITCH, {"effort": "low"}, {"enable_thinking": True}),
        (_SWITCH, {"thinks": True}, {"enable_thinking": True}),
        (_SWITCH, {"budget_tokens": 100}, {"enable_thinking": True}),
        (_PRINTED, {}, {}),
        (_PRINTED, {"effort": "none"}, {"reasoning_effort": "low"}),
        (_PRINTED, {"thinks": False}, {"reasoning_effort": "low"}),
        (_PRINTED, {"effort": "medium"}, {"reasoning_effort": "medium"}),
        (_PRINTED, {"effort": "xhigh"}, {"reasoning_effort": "high"}),
        (_PRINTED, {"effort": "max"}, {"reasoning_effort": "high"}),
        (_PRINTED, {"thinks": True}, {}),
        (_NAMED, {"effort": "max"}, {"thinking": True, "reasoning_effort": "max"}),
        (_NAMED, {"effort": "xhigh"}, {"thinking": True, "reasoning_effort": "high"}),
        (_NAMED, {"effort": "low"}, {"thinking": True}),
        (_NAMED, {"effort": "none"}, {"thinking": False}),
        (_BUDGET, {"thinks": False}, {"thinking_budget": 0}),
        (_BUDGET, {"thinks": True, "budget_tokens": 512}, {"thinking_budget": 512}),
        (_BUDGET, {"effort": "high"}, {}),
        (
            ReasoningControls(None, ("none", "high")),
            {"effort": "low"},
            {"reasoning_effort": "high"},
        ),
        (
            ReasoningControls(None, ("low", "high")),
            {"effort": "medium"},
            {"reasoning_effort": "high"},
        ),
        (
            ReasoningControls(None, ("low", "medium")),
            {"effort": "max"},
            {"reasoning_effort": "medium"},
        ),
        (ReasoningControls(), {"effort": "high", "budget_tokens": 9}, {}),
        (ReasoningControls(), {"thinks": False}, {}),
    ],
)
def test_a_wish_falls_to_what_the_template_knows(
    controls: ReasoningControls, wish: dict[str, Any], options: dict[str, Any]
) -> None:
    assert controls.options(ReasoningWish(**wish)) == options
