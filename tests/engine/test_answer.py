"""Tokens of an answer to what its client is told, and where it stops."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cortex.engine.answer import AnswerText
from cortex.engine.frames import pack_message, unpack_message
from cortex.engine.messages import Step, StepPart
from cortex.engine.stream import (
    Delta,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallBegin,
    ToolCallEnd,
)
from cortex.engine.tokenizer import Tokenizer
from cortex.engine.types import (
    Prompt,
    ReplyFormat,
    Sampling,
    ScoredToken,
    TokenLogprob,
    TokenScores,
    Tool,
)

_FOLDER = Path(__file__).parents[2] / "engine" / "assets" / "fake"
_TOKENIZER = Tokenizer(_FOLDER / "tokenizer.json")
_FORM = ReplyFormat("open", "json", (Tool("f"),))
_CALL = '<tool_call>{"name": "f", "arguments": {"a": "x\u00e9"}}</tool_call>'
_ANSWER = f"hm\n</think>\n\nLet me \U0001f642 look.\n{_CALL}\n{_CALL}\n"


def prompt(*stop: str, form: ReplyFormat = _FORM, seed: int = 7) -> Prompt:
    return Prompt((1, 2, 3), (), (), Sampling(seed), 1000, stop, (), reply=form)


def say(asked: Prompt, text: str, *, is_cut: bool = False) -> tuple[list[Delta], AnswerText]:
    return play(asked, _TOKENIZER.encode(text), (), is_cut=is_cut)


def play(
    asked: Prompt, token_ids: Sequence[int], resumed: Sequence[int], *, is_cut: bool = False
) -> tuple[list[Delta], AnswerText]:
    answer = AnswerText(_TOKENIZER, asked)
    answer.resume(resumed)
    deltas: list[Delta] = []
    for token_id in token_ids:
        if not answer.is_stopped:
            deltas += answer.push(token_id)
    return [*deltas, *answer.flush(is_cut=is_cut)], answer


def spelt(asked: Prompt, text: str) -> bytes:
    """The tokens of which log probabilities are told."""
    answer = AnswerText(_TOKENIZER, asked)
    told = b""
    for token_id in _TOKENIZER.encode(text):
        answer.push(token_id)
        for entry in answer.spell(token_id, TokenScores(-0.5, ())):
            told += entry.token.data
    return told


def words(deltas: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


def thoughts(deltas: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, ReasoningDelta))


def begun(deltas: Sequence[Delta]) -> list[ToolCallBegin]:
    return [delta for delta in deltas if isinstance(delta, ToolCallBegin)]


@pytest.mark.parametrize(
    "place", ["", "hm\n</think>\n\n", '</think><tool_call>{"name": "f", "arguments": {"a": "']
)
def test_an_answer_that_is_cut_inside_a_character_ends_before_it(place: str) -> None:
    letters = "\u65e5\u672c \U0001f642"
    token_ids = _TOKENIZER.encode(place + letters)
    begun_at = len(_TOKENIZER.encode(place))
    assert len(token_ids) - begun_at == len(letters.encode())
    for end in range(begun_at, len(token_ids)):
        deltas, _ = play(prompt(), token_ids[:end], (), is_cut=True)
        told = "".join(d.text for d in deltas if not isinstance(d, ToolCallBegin | ToolCallEnd))
        assert "\ufffd" not in told


def test_a_model_that_ends_inside_a_character_wrote_none() -> None:
    token_ids = _TOKENIZER.encode("</think>so \u65e5")[:-1]
    deltas, _ = play(prompt(), token_ids, ())
    assert words(deltas) == "so \ufffd"


def test_an_answer_is_told_in_its_parts() -> None:
    deltas, answer = say(prompt(), _ANSWER)
    assert thoughts(deltas) == "hm"
    assert words(deltas) == "Let me \U0001f642 look."
    assert [(call.index, call.name) for call in begun(deltas)] == [(0, "f"), (1, "f")]
    arguments = [d.text for d in deltas if isinstance(d, ToolCallArguments) and d.index == 1]
    assert json.loads("".join(arguments)) == {"a": "x\u00e9"}
    assert not answer.is_stopped


@given(st.integers(0, 200), st.booleans())
def test_an_answer_resumed_anywhere_goes_on_as_if_never_cut(cut: int, stops: bool) -> None:
    asked = prompt("ook") if stops else prompt()
    token_ids = _TOKENIZER.encode(_ANSWER)
    cut %= len(token_ids) + 1
    before = AnswerText(_TOKENIZER, asked)
    told: list[Delta] = []
    for token_id in token_ids[:cut]:
        if not before.is_stopped:
            told += before.push(token_id)
    rest, resumed = play(asked, token_ids[cut:], token_ids[:cut])
    whole, answer = play(asked, token_ids, ())
    assert [*told, *rest] == whole
    assert resumed.usage == answer.usage


def test_an_answer_may_end_behind_its_stop_string() -> None:
    asked = replace(prompt("ook", "\n", form=ReplyFormat()), includes_stop=True)
    deltas, answer = say(asked, "Let me look.\nNo")
    assert (words(deltas), answer.stop_text) == ("Let me look", "ook")
    # One that is complete only with what was held back at the end.
    calls = ReplyFormat("none", "json", (Tool("f"),))
    deltas, answer = say(replace(asked, reply=calls), "Yes\n")
    assert (words(deltas), answer.stop_text) == ("Yes\n", "\n")


def test_reasoning_tokens_are_counted_with_the_mark_that_ends_them() -> None:
    _, answer = say(prompt(), "hm\n</think>\n\nYes.")
    assert (answer.usage.reasoning_tokens, answer.usage.completion_tokens) == (4, 10)
    may_open = replace(_FORM, reasoning="may_open")
    _, answer = say(prompt(form=may_open), "<think>hm</think>Yes.")
    assert answer.usage.reasoning_tokens == 4


def test_log_probabilities_are_told_of_words_alone() -> None:
    assert spelt(prompt(), f"hm</think>Yes.{_CALL}") == b"Yes."


def test_line_breaks_behind_a_mark_have_no_log_probability_and_those_among_words_have() -> None:
    assert spelt(prompt(), "hm\n</think>\n\nYes.\n\nNo.") == b"Yes.\n\nNo."
    # The first bytes of a character say nothing yet, and a mark may still come of a bracket.
    assert spelt(prompt(), "hm</think>\n\n\U0001f642") == "\U0001f642".encode()
    assert spelt(prompt(), "hm</think>\n\n<b>") == b"<b>"
    assert spelt(prompt(form=ReplyFormat()), "\n\nYes.") == b"\n\nYes."


@pytest.mark.parametrize("tells_end", [True, False])
def test_the_token_that_ends_an_answer_is_told_where_that_is_asked_and_is_none_of_its_text(
    tells_end: bool,
) -> None:
    asked = replace(prompt(form=ReplyFormat()), tells_end=tells_end)
    [end] = _TOKENIZER.encode("<|im_end|>")
    told = AnswerText(_TOKENIZER, asked).spell_end(end, TokenScores(-0.5, ()))
    expected = TokenLogprob(ScoredToken(b"<|im_end|>", -0.5), is_skipped=True)
    assert told == ((expected,) if tells_end else ())


def test_a_control_token_among_the_words_is_told_as_none_of_their_text() -> None:
    answer = AnswerText(_TOKENIZER, Prompt((1,), (), (), Sampling(7), 1000, (), ()))
    told: dict[bytes, bool] = {}
    for token_id in _TOKENIZER.encode("a<|im_end|>"):
        answer.push(token_id)
        for entry in answer.spell(token_id, TokenScores(-0.5, ())):
            told[entry.token.data] = entry.is_skipped
    assert told == {b"a": False, b"<|im_end|>": True}


@pytest.mark.parametrize(
    ("text", "is_skipped"),
    [("Hi<|eot_id|>", True), ("<|begin_of_text|>Hi<|eot_id|>", False)],
)
def test_of_an_echoed_prompt_only_a_beginning_that_its_text_has_not_is_none_of_it(
    golden: Path, text: str, is_skipped: bool
) -> None:
    tokenizer = Tokenizer(golden / "llama" / "tokenizer.json")
    token_ids = tuple(tokenizer.encode_raw(text))
    answer = AnswerText(tokenizer, Prompt(token_ids, (), (), Sampling(7), 1000, (), (), echo=text))

    scores = [TokenScores(-0.5, ((5, -0.25),))] * (len(token_ids) - 1)
    told = list(answer.spell_prompt(scores))

    assert told[0] == TokenLogprob(ScoredToken(b"<|begin_of_text|>", None), (), is_skipped)
    assert [entry.is_skipped for entry in told[1:]] == [False] * (len(token_ids) - 1)
    shown = b"".join(entry.token.data for entry in told if not entry.is_skipped)
    assert shown.decode() == text
    assert told[1].top == (ScoredToken(tokenizer.token_bytes(5), -0.25),)


@pytest.mark.parametrize("stop", ["hm", '"a"', "name", "\n</think>", "x\u00e9"])
def test_stop_strings_are_not_looked_for_in_reasoning_and_calls(stop: str) -> None:
    deltas, answer = say(prompt(stop), _ANSWER)
    unstopped = say(prompt(), _ANSWER)[0]
    assert not answer.is_stopped
    assert (words(deltas), thoughts(deltas)) == (words(unstopped), thoughts(unstopped))
    assert len(begun(deltas)) == 2


def test_a_stop_string_in_the_words_ends_the_answer() -> None:
    deltas, answer = say(prompt("look"), _ANSWER)
    assert (words(deltas), begun(deltas), answer.is_stopped) == ("Let me \U0001f642 ", [], True)


def test_words_behind_a_call_end_the_answer_and_are_no_part_of_it() -> None:
    deltas, answer = say(prompt("STOP"), f"</think>see ST{_CALL}\nOP now")
    assert (words(deltas), len(begun(deltas))) == ("see ST", 1)
    assert (answer.is_stopped, answer.stop_text) == (True, None)


def test_an_answer_that_takes_one_call_ends_with_it() -> None:
    deltas, answer = say(prompt(form=replace(_FORM, takes_one_call=True)), _ANSWER)
    assert answer.is_stopped
    assert len(begun(deltas)) == 1
    assert deltas[-1] == ToolCallEnd(0, is_whole=True)


def test_a_call_cut_off_by_the_limit_is_not_whole() -> None:
    deltas, _ = say(prompt(), '</think><tool_call>{"name": "f", "arguments": {"a": "x', is_cut=True)
    assert deltas[-1] == ToolCallEnd(0, is_whole=False)


def test_ids_of_calls_depend_on_the_request_and_their_place_alone() -> None:
    ids = [call.id for call in begun(say(prompt(), _ANSWER)[0])]
    assert ids == [call.id for call in begun(say(prompt(), "</think>" + _CALL + _CALL)[0])]
    other_seed = [call.id for call in begun(say(prompt(seed=8), _ANSWER)[0])]
    longer = replace(prompt(), token_ids=(1, 2, 3, 4))
    next_turn = [call.id for call in begun(say(longer, _ANSWER)[0])]
    assert len({*ids, *other_seed, *next_turn}) == 6
    assert all(len(i) <= 64 and i.startswith("call_") for i in ids)


def test_marks_that_a_tokenizer_flags_special_are_still_seen(tmp_path: Path) -> None:
    plain = json.loads((_FOLDER / "tokenizer.json").read_text())
    for token in plain["added_tokens"]:
        token["special"] = True
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(plain))
    tokenizer = Tokenizer(path)
    answer = AnswerText(tokenizer, prompt())
    deltas = [d for i in tokenizer.encode(_ANSWER + "<|im_end|>") for d in answer.push(i)]
    assert (thoughts(deltas), len(begun(deltas))) == ("hm", 2)
    assert "im_end" not in words(deltas)


def test_deltas_survive_the_socket() -> None:
    deltas, _ = say(prompt(), _ANSWER)
    step = Step((StepPart("r", 1, (1, 2), tuple(deltas)),))
    assert unpack_message(pack_message(step)[4:]) == step


def test_a_stop_string_that_ended_it_is_named() -> None:
    assert say(prompt("never", "look"), _ANSWER)[1].stop_text == "look"
    assert say(prompt("never"), _ANSWER)[1].stop_text is None
    one_call = prompt("never", form=replace(_FORM, takes_one_call=True))
    _, answer = say(one_call, _ANSWER)
    assert (answer.is_stopped, answer.stop_text) == (True, None)
