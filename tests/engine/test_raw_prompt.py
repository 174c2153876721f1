"""Prompts that are no chats: texts and token ids to be gone on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from msgspec.structs import replace

from cortex.engine.errors import ContextLengthExceeded, InvalidRequest
from cortex.engine.prompt import build_prompt, count_tokens
from cortex.engine.text_model import load_text_model
from cortex.engine.types import ChatRequest, Grammar, Message, RawText, RawTokens, Role, TextPart

_GOLDEN = Path(__file__).parent.parent / "golden"
_SEEING = load_text_model(_GOLDEN / "qwen3_5")
_BLIND = load_text_model(_GOLDEN / "qwen3_5_text")
_LLAMA = load_text_model(_GOLDEN / "llama")
_IM_START = 1001
_PICTURE_PAD, _VIDEO_PAD = 1012, 1013


def raw(prompt: str | tuple[int, ...], **fields: Any) -> ChatRequest:
    given = RawText(prompt) if isinstance(prompt, str) else RawTokens(prompt)
    return replace(ChatRequest("m", (), seed=7, now_s=0, raw=given), **fields)


def test_a_raw_text_is_encoded_as_it_stands_with_the_control_tokens_that_it_spells() -> None:
    plain = build_prompt(_BLIND, raw("Hello, world"), 4096).prompt
    assert _BLIND.tokenizer.decode(plain.token_ids) == "Hello, world"
    spelt = build_prompt(_BLIND, raw("a<|im_start|>user"), 4096).prompt
    encode = _BLIND.tokenizer.encode
    assert spelt.token_ids == (*encode("a"), _IM_START, *encode("user"))


def test_a_chat_that_its_client_rendered_is_the_same_prompt_as_the_chat() -> None:
    roles: tuple[Role, ...] = ("system", "user", "assistant", "user")
    messages = tuple(Message(role, (TextPart("a"),)) for role in roles)
    chat = build_prompt(_SEEING, ChatRequest("m", messages, seed=7, now_s=0), 4096)
    rendered = _SEEING.tokenizer.decode(chat.prompt.token_ids, skip_special=False)
    built = build_prompt(_SEEING, raw(rendered), 4096)
    assert built.prompt_hash == chat.prompt_hash
    assert built.prompt.boundaries == chat.prompt.boundaries
    assert built.prompt.answer_start == chat.prompt.answer_start > 0


@pytest.mark.parametrize("text", ["Hello", "", " \U0010fffd-<|eot_id|>Hello"])
def test_a_raw_text_begins_once_as_the_tokenizers_file_says(text: str) -> None:
    whole = tokenizers.Tokenizer.from_file(str(_GOLDEN / "llama" / "tokenizer.json"))
    mark = _LLAMA.tokenizer.special_id("<|begin_of_text|>")
    for spelt in (text, "<|begin_of_text|>" + text):
        prompt = build_prompt(_LLAMA, raw(spelt), 4096).prompt
        assert prompt.token_ids == tuple(whole.encode(text).ids)
        assert prompt.token_ids.count(mark) == 1
        assert count_tokens(_LLAMA, raw(spelt)) == len(prompt.token_ids)
    assert build_prompt(_LLAMA, raw((5, 7)), 4096).prompt.token_ids == (5, 7)


def test_a_raw_text_may_ask_for_its_middle_in_the_models_own_marks() -> None:
    """They are not among the control tokens of their files."""
    text = "<|fim_prefix|>a = <|fim_suffix|>print(a)<|fim_middle|>"
    file = json.loads((_GOLDEN / "qwen3_5_text" / "tokenizer.json").read_text())
    ids = {token["content"]: token["id"] for token in file["added_tokens"]}
    token_ids = build_prompt(_BLIND, raw(text), 4096).prompt.token_ids
    marks = ("prefix", "suffix", "middle")
    assert [i for i in token_ids if i in ids.values()] == [ids[f"<|fim_{m}|>"] for m in marks]
    assert _BLIND.tokenizer.decode(token_ids) == text


def test_raw_token_ids_are_the_prompt_control_tokens_too() -> None:
    request = raw((_IM_START, 5, 7))
    assert build_prompt(_BLIND, request, 4096).prompt.token_ids == (_IM_START, 5, 7)
    assert count_tokens(_BLIND, request) == 3


@pytest.mark.parametrize("token_ids", [(), (-1,), (5, 10**9)])
def test_raw_token_ids_outside_the_vocabulary_are_refused(token_ids: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        build_prompt(_BLIND, raw(token_ids), 4096)
    assert caught.value.param == "prompt"


@pytest.mark.parametrize(
    "prompt", [(5, _PICTURE_PAD), "a<|image_pad|>", (5, _VIDEO_PAD), "a<|video_pad|>"]
)
def test_the_place_of_a_picture_or_a_video_in_a_raw_prompt_is_refused(
    prompt: str | tuple[int, ...],
) -> None:
    with pytest.raises(InvalidRequest, match="place of a picture or a video"):
        build_prompt(_SEEING, raw(prompt), 4096)


def test_a_raw_prompt_over_the_context_is_named_as_the_prompt() -> None:
    with pytest.raises(ContextLengthExceeded) as caught:
        build_prompt(_BLIND, raw((5,) * 20), 16)
    assert caught.value.param == "prompt"


def test_the_echo_of_a_prompt_is_its_text() -> None:
    text = "Hello, <|im_start|>"
    assert build_prompt(_BLIND, raw(text, echo=True), 4096).prompt.echo == text
    token_ids = (_IM_START, *_BLIND.tokenizer.encode("user"))
    spelt = build_prompt(_BLIND, raw(token_ids, echo=True), 4096).prompt.echo
    assert spelt == "<|im_start|>user"
    assert build_prompt(_BLIND, raw(text), 4096).prompt.echo == ""


def test_an_answer_to_a_raw_prompt_is_held_from_its_first_token_on() -> None:
    request = raw("Is it? <think>", grammar=Grammar("choice", '["yes"]'))
    prompt = build_prompt(_SEEING, request, 4096).prompt
    assert (prompt.grammar, prompt.reply.reasoning) == ('start: r0\nr0: "yes"\n', "none")
