"""A folder without a chat template: plain text is continued and embedded, and no chat is taken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from cortex.engine.check_folder import check_folder
from cortex.engine.errors import ModelNotSupported
from cortex.engine.prompt import build_prompt, count_tokens
from cortex.engine.text_model import TextModel, TextModels, load_text_model
from cortex.engine.types import (
    ChatRequest,
    ImagePart,
    Message,
    RawText,
    RawTokens,
    TextPart,
    ToolCall,
    ToolChoice,
    VectorWish,
)
from cortex.engine.vector_prompt import build_vector_prompt

CONTEXT_TOKENS = 64
CHAT = ChatRequest("org/base", (Message("user", (TextPart("Hi"),)),), seed=0, now_s=0)
PLAIN = replace(CHAT, messages=(), raw=RawText("Once upon"))


@pytest.fixture
def folder(golden: Path, tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("*.safetensors", "expected", "chat_template.jinja")
    copied = Path(shutil.copytree(golden / "qwen3_5", tmp_path / "m", ignore=ignored))
    path = copied / "tokenizer_config.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields.pop("chat_template", None)
    path.write_text(json.dumps(fields), encoding="utf-8")
    return copied


@pytest.fixture
def base(folder: Path) -> TextModel:
    return load_text_model(folder)


def test_plain_prompts_are_those_of_the_same_folder_with_a_template(
    base: TextModel, golden: Path
) -> None:
    whole = load_text_model(golden / "qwen3_5")

    for request in (PLAIN, replace(PLAIN, raw=RawTokens((5, 6, 7)), echo=True)):
        built = build_prompt(base, request, CONTEXT_TOKENS)
        assert built == build_prompt(whole, request, CONTEXT_TOKENS)
        assert built.prompt.stop_token_ids
        assert count_tokens(base, request) == len(built.prompt.token_ids)


def test_vectors_are_those_of_the_same_folder_with_a_template(
    base: TextModel, golden: Path
) -> None:
    whole, wish = load_text_model(golden / "qwen3_5"), VectorWish()

    built = build_vector_prompt(base, PLAIN, wish, CONTEXT_TOKENS)

    assert built == build_vector_prompt(whole, PLAIN, wish, CONTEXT_TOKENS)


@pytest.mark.parametrize(
    "chat",
    [
        CHAT,
        replace(CHAT, messages=(Message("user", (ImagePart(b"no picture"),)),)),
        replace(
            CHAT,
            messages=(Message("assistant", tool_calls=(ToolCall("1", "f", "{}"),)),),
            tool_choice=ToolChoice("none"),
        ),
    ],
    ids=["text", "picture", "calls"],
)
def test_a_chat_is_refused_with_the_route_that_takes_plain_text(
    base: TextModel, chat: ChatRequest
) -> None:
    for refuse in (
        lambda: build_prompt(base, chat, CONTEXT_TOKENS),
        lambda: count_tokens(base, chat),
    ):
        with pytest.raises(ModelNotSupported) as caught:
            refuse()

        assert "org/base has no chat template" in caught.value.message
        assert "/v1/completions" in caught.value.hint


def test_a_template_that_is_put_there_later_is_noticed(folder: Path) -> None:
    models = TextModels()
    assert models.get(folder).chat is None

    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")

    assert build_prompt(models.get(folder), CHAT, CONTEXT_TOKENS).prompt.token_ids


def test_such_a_folder_passes_before_its_weights_are_there(folder: Path) -> None:
    check_folder(folder, "torch")
