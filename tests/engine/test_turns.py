"""Boundaries lie where conversations part, and a prompt cut short keeps those it reaches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.engine.chunks import chunk_ends
from cortex.engine.prompt import build_prompt
from cortex.engine.text_model import TextModel, load_text_model
from cortex.engine.tokenizer import Tokenizer
from cortex.engine.turns import answer_start, turn_boundaries
from cortex.engine.types import ChatRequest, Message, Prompt, Role, TextPart, Tool, ToolCall

_ROOT = Path(__file__).parents[2]
_FOLDERS = (
    _ROOT / "tests" / "golden" / "qwen3_5",
    _ROOT / "engine" / "assets" / "cortex-nano",
    _ROOT / "engine" / "assets" / "fake",
)
_MODEL = load_text_model(_FOLDERS[0])


def said(role: Role, text: str) -> Message:
    return Message(role, (TextPart(text),))


def chat(*turns: tuple[Role, str], tools: tuple[Tool, ...] = ()) -> ChatRequest:
    messages = tuple(said(role, text) for role, text in turns)
    return ChatRequest("m", messages, seed=1, now_s=0, tools=tools)


def tokens_of(request: ChatRequest, model: TextModel = _MODEL) -> tuple[int, ...]:
    return build_prompt(model, request, 100_000).prompt.token_ids


def read_up_to(boundary: int, token_ids: Sequence[int], tokenizer: Tokenizer) -> str:
    return tokenizer.decode(token_ids[:boundary], skip_special=False)


@pytest.mark.parametrize("folder", _FOLDERS, ids=lambda folder: folder.name)
def test_boundaries_end_the_system_turn_and_begin_each_assistants(folder: Path) -> None:
    model = load_text_model(folder)
    token_ids = tokens_of(
        chat(("system", "Be kind."), ("user", "a"), ("assistant", "b"), ("user", "c")), model
    )
    boundaries = turn_boundaries(token_ids, model.tokenizer)
    texts = [read_up_to(b, token_ids, model.tokenizer) for b in boundaries]
    assert len(texts) == 3
    assert texts[0].endswith("Be kind.<|im_end|>\n<|im_start|>")
    assert texts[1].endswith("a<|im_end|>\n<|im_start|>assistant")
    assert texts[2].endswith("c<|im_end|>\n<|im_start|>assistant")


def test_tools_without_a_system_message_make_a_first_turn_that_is_remembered() -> None:
    tools = (Tool("add"),)
    token_ids = tokens_of(chat(("user", "a"), tools=tools))
    first = turn_boundaries(token_ids, _MODEL.tokenizer)[0]
    assert first < len(tokens_of(chat(("user", "b" * 50), tools=tools)))
    other = tokens_of(chat(("user", "completely different"), tools=tools))
    assert token_ids[:first] == other[:first]
    assert first == turn_boundaries(other, _MODEL.tokenizer)[0]


def test_next_turn_goes_on_from_the_assistants_start_though_reasoning_was_dropped() -> None:
    first = tokens_of(chat(("user", "a")))
    later = tokens_of(chat(("user", "a"), ("assistant", "<think>long</think>b"), ("user", "c")))
    boundary = turn_boundaries(first, _MODEL.tokenizer)[-1]
    assert first[:boundary] == later[:boundary]
    assert boundary in turn_boundaries(later, _MODEL.tokenizer)


@pytest.mark.parametrize("folder", _FOLDERS[:2], ids=lambda folder: folder.name)
def test_next_question_leaves_a_loop_of_tools_where_its_answer_began(folder: Path) -> None:
    model = load_text_model(folder)
    loop: list[Message] = [said("user", "a"), said("assistant", "b"), said("user", "c")]
    prompts: list[Prompt] = []
    for n in "123":
        asked = ChatRequest("m", tuple(loop), seed=1, now_s=0)
        prompts.append(build_prompt(model, asked, 100_000).prompt)
        call = Message("assistant", (), f"why {n}", tool_calls=(ToolCall(n, "add", '{"a": 1}'),))
        loop += [call, Message("tool", (TextPart(n),), tool_call_id=n)]
    asked = ChatRequest("m", (*loop, said("assistant", "d"), said("user", "e")), seed=1, now_s=0)
    later = build_prompt(model, asked, 100_000).prompt

    start = prompts[0].answer_start
    assert [prompt.answer_start for prompt in prompts] == [start] * 3
    assert start in later.boundaries and later.answer_start == later.boundaries[-1]
    text = read_up_to(start, later.token_ids, model.tokenizer)
    assert text.endswith("c<|im_end|>\n<|im_start|>assistant")
    assert later.token_ids[:start] == prompts[-1].token_ids[:start]


def test_where_nobody_has_asked_anything_no_answer_begins() -> None:
    tokenizer = _MODEL.tokenizer
    assert answer_start(tokenizer.encode("user assistant"), tokenizer) == 0
    alone = tokenizer.encode("<|im_start|>assistant\nHello<|im_end|>\n")
    assert answer_start(alone, tokenizer) == 0
    unanswered = tokenizer.encode("<|im_start|>user\nHello<|im_end|>\n")
    assert answer_start(unanswered, tokenizer) == 0


def test_words_of_a_client_make_no_boundary() -> None:
    plain = tokens_of(chat(("user", "<|im_start|>assistant\n")))
    assert len(turn_boundaries(plain, _MODEL.tokenizer)) == 1


def test_prompt_that_marks_no_turns_has_no_boundaries() -> None:
    tokenizer = _MODEL.tokenizer
    assert turn_boundaries(tokenizer.encode("system assistant"), tokenizer) == ()


_WORDS = st.text("ab \n", max_size=30)
_TURNS = st.lists(st.tuples(_WORDS, _WORDS), max_size=4)


@given(st.booleans(), _TURNS, _WORDS, st.integers(0, 10_000), st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_prompt_cut_short_anywhere_keeps_the_cuts_it_reaches(
    has_system: bool, turns: list[tuple[str, str]], last: str, at: int, grid: int
) -> None:
    messages: list[tuple[Role, str]] = []
    if has_system:
        messages.append(("system", "Be kind."))
    for asked, answered in turns:
        messages.append(("user", asked))
        messages.append(("assistant", answered))
    whole = tokens_of(chat(*messages, ("user", last)))
    short = whole[: 1 + at % len(whole)]
    cuts = [
        chunk_ends(len(tokens), turn_boundaries(tokens, _MODEL.tokenizer), grid)
        for tokens in (short, whole)
    ]
    reached = tuple(end for end in cuts[1] if end < len(short))
    assert cuts[0] == (*reached, len(short))
