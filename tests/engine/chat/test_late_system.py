"""Which templates take a system message late, found out by rendering."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex.engine.chat.late_system import takes_late_system
from cortex.engine.template import ChatTemplate, read_template

_ROOT = Path(__file__).parents[3]
_TURNS = "{%- for m in messages -%}<{{ m.role }}>{{ m.content }}</>\n{%- endfor -%}"


def takes(source: str) -> bool:
    return takes_late_system(ChatTemplate(source, {}, "a test"))


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("engine/assets/cortex-nano", True),
        ("engine/assets/fake", True),
        ("tests/golden/llama", True),
        ("tests/golden/chat", False),  # refuses it
        ("tests/golden/qwen2", False),  # leaves it out
        ("tests/golden/qwen3", False),
    ],
)
def test_templates_of_real_folders(folder: str, expected: bool) -> None:
    assert takes_late_system(read_template(_ROOT / folder)) == expected


def test_a_turn_for_every_message_takes_it() -> None:
    assert takes(_TURNS)
    assert takes(_TURNS + "{% if add_generation_prompt %}<assistant>{% endif %}")


def test_a_turn_spelt_in_its_own_way_is_a_turn() -> None:
    assert takes(_TURNS.replace("<{{ m.role }}>", "{{ '[S]' if m.role == 'system' else '[T]' }}"))


def test_a_template_may_treat_an_assistants_last_turn_as_one_that_goes_on() -> None:
    going_on = "{% if m.role == 'assistant' and loop.last %}<think></think>{% endif %}"
    assert takes(_TURNS.replace("{{ m.content }}", going_on + "{{ m.content }}"))


def test_a_turn_whose_neighbours_end_like_it_or_do_not_is_the_same_turn() -> None:
    end = "{{ '</u>' if m.role == 'user' else '</s>' }}"
    assert takes("{% for m in messages %}<{{ m.role }}>{{ m.content }}" + end + "{% endfor %}")


@pytest.mark.parametrize(
    "source",
    [
        # added to the next turn, as one family does with the first
        "{% set lead = namespace(text='') %}{% for m in messages %}{% if m.role == 'system' %}"
        "{% set lead.text = m.content + '\n\n' %}{% else %}"
        "<{{ m.role }}>{{ lead.text + m.content }}{% set lead.text = '' %}{% endif %}{% endfor %}",
        # moved to the front
        "{% for m in messages if m.role == 'system' %}<s>{{ m.content }}{% endfor %}"
        "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endfor %}",
        # a turn, but what was thought before it is no longer shown
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}"
        "{% if messages[-1].role != 'system' %}{{ m.reasoning_content }}{% endif %}{% endfor %}",
        # nothing that parts it from what stands before it
        "{% for m in messages %}{{ m.content }}{% endfor %}",
        # shown twice, cut, or refused in one place
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ m.content }}{% endfor %}",
        "{% for m in messages %}<{{ m.role }}>{{ m.content[:12] }}{% endfor %}",
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if m.role == 'system' and"
        " loop.last %}{{ raise_exception('no') }}{% endif %}{% endfor %}",
        "",
        "{{ raise_exception('nothing at all') }}",
    ],
)
def test_templates_that_do_something_else_with_it_do_not_take_it(source: str) -> None:
    assert not takes(source)
