"""System messages that are not alone in front, written as `s`; u, a, c and t are the others."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.chat.system_turns import place_system_messages
from cortex.engine.types import ImagePart, Message, Role, TextPart, ToolCall

ROLES: dict[str, Role] = {
    "s": "system", "u": "user", "a": "assistant", "c": "assistant", "t": "tool",
}  # fmt: skip


def turns(spelt: str) -> list[Message]:
    """ "s:be brief|u:hello" as messages; `c` is an assistant's turn that calls a tool."""
    messages: list[Message] = []
    for word in spelt.split("|"):
        kind, _, text = word.partition(":")
        calls = (ToolCall("1", "f", "{}"),) if kind == "c" else ()
        messages.append(Message(ROLES[kind], (TextPart(text),), tool_calls=calls))
    return messages


def spelt(messages: tuple[Message, ...]) -> str:
    words: list[str] = []
    for message in messages:
        text = "".join(part.text for part in message.content if isinstance(part, TextPart))
        words.append(f"{'c' if message.tool_calls else message.role[0]}:{text}")
    return "|".join(words).replace("\n\n", "+")


def fold(messages: list[Message]) -> tuple[Message, ...]:
    return place_system_messages(messages, takes_late_system=False)


@pytest.mark.parametrize(
    ("sent", "folded"),
    [
        ("s:one|u:hello", "s:one|u:hello"),
        ("s:one|s:two|s:|s:three|u:hello", "s:one+two+three|u:hello"),
        ("u:hello|s:late", "u:hello+late"),
        ("s:one|u:hello|s:late|s:later|a:hi|u:more", "s:one|u:hello+late+later|a:hi|u:more"),
        ("u:hello|a:hi|s:late|u:more", "u:hello|a:hi|u:late+more"),
        ("u:hello|a:hi|s:late|s:later", "u:hello|a:hi|u:late+later"),
        ("u:hello|a:hi|s:late|a:again|u:more", "u:hello|a:hi|u:late|a:again|u:more"),
        ("u:hello|c:|s:late|t:42|u:more", "u:hello|c:|t:42+late|u:more"),
        ("u:hello|c:|t:42|s:late|t:43|a:so|u:more", "u:hello|c:|t:42|t:43+late|a:so|u:more"),
        ("u:hello|c:|t:42|s:late", "u:hello|c:|t:42+late"),
        ("u:hello|c:|s:late|t:42|s:later|t:43", "u:hello|c:|t:42|t:43+late+later"),
        ("u:hello|c:|s:late|u:more", "u:hello|c:|u:late+more"),
        ("u:hello|a:hi|s:|u:more", "u:hello|a:hi|u:more"),
        ("a:hi|s:late", "a:hi|u:late"),
        ("s:only", "s:only"),
    ],
)
def test_text_of_a_system_message_goes_where_no_template_minds_it(sent: str, folded: str):
    assert spelt(fold(turns(sent))) == folded
    assert fold(turns(folded.replace("+", "\n\n"))) == tuple(turns(folded.replace("+", "\n\n")))


@pytest.mark.parametrize(
    ("sent", "placed"),
    [
        ("s:one|s:two|u:hello", "s:one+two|u:hello"),
        ("u:hello|s:late|s:later|a:hi", "u:hello|s:late|s:later|a:hi"),
        ("u:hello|a:hi|s:late", "u:hello|a:hi|s:late"),
        ("u:hello|s:|a:hi|s:", "u:hello|a:hi"),
        (
            "u:hello|c:|s:late|t:42|s:later|t:43|u:more",
            "u:hello|c:|t:42|t:43|s:late|s:later|u:more",
        ),
        ("u:hello|c:|s:late|t:42", "u:hello|c:|t:42|s:late"),
        ("s:only", "s:only"),
    ],
)
def test_where_a_template_takes_it_a_late_one_parts_only_calls_from_results_no_more(
    sent: str, placed: str
):
    assert spelt(place_system_messages(turns(sent), takes_late_system=True)) == placed


def test_pictures_of_the_turn_that_takes_it_stay_where_they_are():
    picture = ImagePart(b"png")
    late = turns("s:late")[0]
    after = fold([Message("user", (TextPart("see"), picture)), late])
    assert after[0].content == (TextPart("see"), picture, TextPart("\n\nlate"))
    before = fold([*turns("u:hello|a:hi"), late, Message("user", (picture,))])
    assert before[2].content == (TextPart("late\n\n"), picture)


def test_no_messages_stay_none():
    assert fold([]) == ()


TALKS = st.lists(
    st.sampled_from(["s:one", "s:two", "s:", "u:hello", "a:hi", "c:", "t:42"]),
    min_size=1,
    max_size=9,
).map("|".join)


def num_answered_calls(messages: Iterable[Message]) -> int:
    """Results that stand right behind a call or another result."""
    pairs = itertools.pairwise(messages)
    return sum(b.role == "tool" and (a.role == "tool" or bool(a.tool_calls)) for a, b in pairs)


@given(TALKS, st.booleans())
def test_no_word_is_lost_and_no_result_parted_from_its_call(sent: str, takes_late_system: bool):
    before = turns(sent)
    after = place_system_messages(before, takes_late_system=takes_late_system)
    said = [
        word for words in spelt(after).split("|") for word in words.partition(":")[2].split("+")
    ]
    assert sorted(filter(None, said)) == sorted(
        message.content[0].text
        for message in before
        if isinstance(message.content[0], TextPart) and message.content[0].text
    )
    others = [message for message in before if message.role != "system"]
    assert num_answered_calls(after) == num_answered_calls(others)
    assert takes_late_system or all(message.role != "system" for message in after[1:])


@given(TALKS, st.booleans())
def test_what_an_answer_was_given_to_is_how_the_next_prompt_begins(
    sent: str, takes_late_system: bool
):
    messages = turns(sent)
    whole = place_system_messages(messages, takes_late_system=takes_late_system)
    for place, message in enumerate(messages):
        if message.role == "assistant":
            asked = place_system_messages(messages[:place], takes_late_system=takes_late_system)
            assert whole[: len(asked)] == asked
