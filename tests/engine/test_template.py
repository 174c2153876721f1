"""Messages become exactly the text that the reference renders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cortex.engine.errors import InvalidRequest, ModelInvalid
from cortex.engine.template import ChatTemplate, NoTemplate, find_template, read_template
from cortex.engine.tokenizer import Tokenizer

_GOLDEN = Path(__file__).parent.parent / "golden"
_TEMPLATE = read_template(_GOLDEN / "chat")
_TOKENIZER = Tokenizer(_GOLDEN / "chat" / "tokenizer.json")
_CASES: list[dict[str, Any]] = json.loads((_GOLDEN / "chat/chat_cases.json").read_text())["cases"]


def render(case: dict[str, Any]) -> str:
    options = dict(case["kwargs"])
    tools = options.pop("tools", ())
    return _TEMPLATE.render(case["messages"], tools=tools, now_s=0, options=options)


def inline(source: str) -> ChatTemplate:
    return ChatTemplate(source, {}, "inline")


@pytest.mark.parametrize("case", _CASES, ids=lambda c: c["case"])
def test_golden_messages_render_and_encode_as_in_the_reference(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(InvalidRequest, match="chat template"):
            render(case)
        return
    rendered = render(case)
    assert rendered == case["rendered"]
    assert _TOKENIZER.encode(rendered) == case["ids"]


def test_date_is_the_requests_and_not_the_clocks() -> None:
    template = inline("{{ strftime_now('%Y-%m-%d %H:%M') }}")
    assert template.render([], now_s=1_700_000_000) == "2023-11-14 22:13"


def test_the_requests_clock_claims_no_zone() -> None:
    assert inline("{{ strftime_now('%Z%z') }}").render([], now_s=1_700_000_000) == ""


@pytest.mark.parametrize("now_s", [1_700_000_000_000, 1 << 80])
def test_a_clock_that_no_calendar_has_is_the_clients_not_a_crash(now_s: int) -> None:
    with pytest.raises(InvalidRequest, match="chat template"):
        inline("a").render([], now_s=now_s)


def test_template_cannot_reach_out_of_its_sandbox() -> None:
    with pytest.raises(InvalidRequest):
        inline("{{ ''.__class__.__mro__[1].__subclasses__() }}").render([], now_s=0)


def test_template_error_in_plain_python_is_the_clients_not_a_crash() -> None:
    with pytest.raises(InvalidRequest, match="TypeError"):
        inline("{{ messages[0].content + 1 }}").render([{"content": "a"}], now_s=0)


@pytest.mark.parametrize(
    "source",
    ["'x' * 2 * 10**8", "10**8 * 'x'", "[0] * 10**8", "2 ** 1073741824", "10**250 * 10**250"],
)
def test_a_template_cannot_multiply_itself_beyond_all_bounds(source: str) -> None:
    template = inline("{{ (" + source + ") | length }}")
    with pytest.raises(InvalidRequest, match="multiplies"):
        template.render([], now_s=0)


@pytest.mark.parametrize(
    "source",
    [
        "'%100000000d' % 1",
        "'%-*d' % (10**8, 1)",
        "'%.*f' % (10**8, 1)",
        "'%(a)100000000d' % {'a': 1}",
        "'%100000000d' | format(1)",
        "'{:100000000}'.format(1)",
        "'{:{}}'.format(1, 10**8)",
        "'{a:100000000}'.format_map({'a': 1})",
        "'a' | center(10**8)",
        "'a' | indent(width=10**8, first=true)",
        "[1] | tojson(indent=10**8)",
        "'a'.ljust(10**8)",
        "'a'.zfill(10**8)",
        "'\t'.expandtabs(tabsize=10**8)",
    ],
)
def test_a_template_cannot_widen_itself_beyond_all_bounds(source: str) -> None:
    template = inline("{{ (" + source + ") | length }}")
    with pytest.raises(InvalidRequest, match="too wide"):
        template.render([], now_s=0)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("'%s has 100%% of %05.1f' % ('a', 2)", "a has 100% of 002.0"),
        ("'** %s **, 2024' % 20240101", "** 20240101 **, 2024"),
        ("7 % 4", "3"),
        ("'%s-%s' | format(10**8, 2)", "100000000-2"),
        ("""'{{"{}": {:>4}}}'.format('a', 12345678)""", '{"a": 12345678}'),
        ("'a'.ljust(3) ~ 'b' | center(3) ~ 'c' | indent(2, true)", "a   b   c"),
        ("{'a': [1]} | tojson(indent=1)", '{\n "a": [\n  1\n ]\n}'),
    ],
)
def test_a_template_formats_as_templates_do(source: str, text: str) -> None:
    assert inline("{{ " + source + " }}").render([], now_s=0) == text


def test_a_template_multiplies_what_templates_do() -> None:
    assert inline("{{ '  ' * 2 }}{{ 3 * 0.5 }}{{ 2 ** 10 }}").render([], now_s=0) == "    1.51024"


def test_broken_template_is_named() -> None:
    with pytest.raises(ModelInvalid, match="inline"):
        inline("{% if %}")


def test_template_is_found_in_the_tokenizer_config(tmp_path: Path) -> None:
    config = {"chat_template": "{{ bos_token }}{{ messages[0].content }}"}
    for bos in ("<s>", {"content": "<s>"}):
        text = json.dumps({**config, "bos_token": bos})
        (tmp_path / "tokenizer_config.json").write_text(text)
        assert read_template(tmp_path).render([{"content": "hi"}], now_s=0) == "<s>hi"


def test_a_folder_without_a_template_names_its_marks_and_is_refused_for_chats(
    tmp_path: Path,
) -> None:
    assert find_template(tmp_path) == NoTemplate({})
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": {"content": "</s>"}}')

    assert find_template(tmp_path) == NoTemplate({"eos_token": "</s>"})
    with pytest.raises(ModelInvalid, match="no chat template"):
        read_template(tmp_path)
