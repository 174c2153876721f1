"""How a model answers, found in its folder and in its prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cortex.engine.parsers.family import ReplyFamily, find_family, reply_format
from cortex.engine.template import ChatTemplate
from cortex.engine.text_model import load_text_model
from cortex.engine.types import ReplyFormat, Tool

_ASSETS = Path(__file__).parents[3] / "engine" / "assets"
_TOOLS = (Tool("f", "what it does", '{"type": "object"}'),)
THINKS_XML = ReplyFamily(thinks=True, calls="xml")
# The parts of a template that matter here, in the manner of the families that write one object.
_JSON_TEMPLATE = """\
{%- if tools %}Call like this: <tool_call>
{"name": <function-name>, "arguments": <args>}
</tool_call>
{%- endif %}
{%- for message in messages %}{{ message.role }}: {{ message.content }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}
{% endfor %}"""


def family_of(source: str) -> ReplyFamily:
    return find_family(ChatTemplate(source, {}, "a test"))


def test_families_are_found_from_what_templates_write(golden: Path) -> None:
    source = (golden / "chat" / "chat_template.jinja").read_text()
    assert family_of(source) == THINKS_XML
    assert family_of(_JSON_TEMPLATE) == ReplyFamily(thinks=False, calls="json")
    shipped = {name: load_text_model(_ASSETS / name).chat for name in ("fake", "cortex-nano")}
    assert {name: chat and chat.family for name, chat in shipped.items()} == {
        "fake": ReplyFamily(thinks=True, calls="json"),
        "cortex-nano": ReplyFamily(calls="json"),
    }


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('no') }}",
        '<tool_call>{"name": "f"}</tool_call>',
        "{% for m in messages %}{{ m.tool_calls[0].function.name }}{% endfor %}",
        "{% for m in messages %}{{ m.tool_calls }}{% endfor %}",
        "{% for m in messages %}<tool_call>look_up(key){% endfor %}",
    ],
)
def test_a_template_that_writes_no_known_call_makes_none(source: str) -> None:
    assert family_of(source) == ReplyFamily()


def test_the_end_of_the_prompt_says_where_the_answer_begins(golden: Path) -> None:
    cases: list[dict[str, Any]] = json.loads((golden / "chat" / "chat_cases.json").read_text())[
        "cases"
    ]
    rendered = {case["case"]: case["rendered"] for case in cases if "rendered" in case}

    def reasoning(name: str) -> str:
        return reply_format(THINKS_XML, rendered[name], (), takes_one_call=False).reasoning

    assert reasoning("thinking_on") == "open"
    assert reasoning("thinking_off") == "none"
    assert reasoning("no_generation_prompt") == "may_open"
    assert reasoning("marker_text_in_user") == "open"


def test_a_family_that_never_thinks_still_goes_on_where_its_prompt_does() -> None:
    plain = ReplyFamily()
    assert reply_format(plain, "so\n", (), takes_one_call=False) == ReplyFormat()
    opened = reply_format(plain, "<think>\n", (), takes_one_call=False)
    assert opened.reasoning == "open"


def test_calls_are_read_only_where_tools_were_offered() -> None:
    def form(family: ReplyFamily, tools: tuple[Tool, ...]) -> ReplyFormat:
        return reply_format(family, "", tools, takes_one_call=True)

    offered = (Tool("f", "", '{"type": "object"}'),)
    assert form(THINKS_XML, _TOOLS) == ReplyFormat("may_open", "xml", offered, True)
    assert form(THINKS_XML, ()) == ReplyFormat("may_open")
    assert form(ReplyFamily(), _TOOLS) == ReplyFormat()


def test_an_answer_begun_by_its_client_thinks_only_where_that_opened_the_block() -> None:
    def reasoning(begun: str) -> str:
        return reply_format(
            THINKS_XML, "...\n<think>\n", (), takes_one_call=False, begun=begun
        ).reasoning

    assert reasoning("It is") == "none"
    assert reasoning("<think>It is") == "open"
    assert reasoning("<think>It is</think>So it") == "none"
