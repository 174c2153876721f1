"""Pictures in tool results: where templates take them, and where they go otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex.engine.chat.tool_pictures import pictures_behind_results, takes_tool_pictures
from cortex.engine.template import ChatTemplate, read_template
from cortex.engine.types import ImagePart, Message, TextPart, ToolCall

_ROOT = Path(__file__).parents[3]
_ONE, _TWO, _THREE = ImagePart(b"1"), ImagePart(b"2"), ImagePart(b"3")
_CALLS = Message(
    "assistant", (), tool_calls=(ToolCall("c1", "look", "{}"), ToolCall("c2", "zoom", "{}"))
)


def result(call_id: str, *parts: TextPart | ImagePart) -> Message:
    return Message("tool", parts, tool_call_id=call_id)


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("engine/assets/cortex-nano", True),
        ("engine/assets/fake", True),
        ("tests/golden/chat", True),
        ("tests/golden/llama", False),  # knows nothing of parts
        ("tests/golden/qwen3", False),
    ],
)
def test_templates_of_real_folders(folder: str, expected: bool) -> None:
    assert takes_tool_pictures(read_template(_ROOT / folder)) == expected


@pytest.mark.parametrize(
    "in_results",
    [
        "{{ m.content if m.content is string else m.content[0].text }}",  # texts alone
        "{% for p in m.content %}{{ p.text or '[a picture]' }}{% endfor %}",
        "{{ raise_exception('no pictures here') }}",
        "",
    ],
)
def test_a_template_that_treats_results_otherwise_does_not_take_them(in_results: str) -> None:
    by_user = "{% for p in m.content %}{{ p.text or '<picture>' }}{% endfor %}"
    source = (
        "{% for m in messages %}{% if m.role == 'tool' %}" + in_results + "{% else %}" + by_user
        + "{% endif %}{% endfor %}"
    )  # fmt: skip
    assert not takes_tool_pictures(ChatTemplate(source, {}, "a test"))
    both = "{% for m in messages %}" + by_user + "{% endfor %}"
    assert takes_tool_pictures(ChatTemplate(both, {}, "a test"))


def test_they_follow_all_results_of_their_turn_each_behind_the_name_of_its_call() -> None:
    after = (Message("assistant", (TextPart("I see."),)),)
    first = result("c1", TextPart("a"), _ONE, TextPart("b"), _TWO)
    second = result("c2", _THREE)
    assert pictures_behind_results((_CALLS, first, second, *after)) == (
        _CALLS,
        result("c1", TextPart("a"), TextPart("b")),
        result("c2"),
        Message(
            "user",
            (
                TextPart("Pictures in the result of look (c1):\n"),
                _ONE,
                _TWO,
                TextPart("\n"),
                TextPart("Pictures in the result of zoom (c2):\n"),
                _THREE,
            ),
        ),
        *after,
    )


def test_the_users_own_message_takes_them_at_its_head() -> None:
    own = Message("user", (TextPart("What is it?"), _TWO))
    _, kept, joined = pictures_behind_results((_CALLS, result("c1", _ONE), own))
    assert kept == result("c1")
    line = TextPart("Pictures in the result of look (c1):\n")
    assert joined == Message("user", (line, _ONE, TextPart("\n\n"), *own.content))


def test_a_result_without_a_call_is_named_by_its_id() -> None:
    _, shown = pictures_behind_results((result("lost", _ONE),))
    assert shown.content[0] == TextPart("Pictures in the result of lost:\n")


def test_a_conversation_without_them_stays_as_it_is() -> None:
    talk = (Message("user", (TextPart("see"), _ONE)), _CALLS, result("c1", TextPart("a")))
    assert pictures_behind_results(talk) == talk
    assert pictures_behind_results(()) == ()
