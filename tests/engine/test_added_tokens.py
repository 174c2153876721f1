"""Tokens that were added to a tokenizer and not to the weights beside it are not the model's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cortex.engine.errors import InvalidRequest
from cortex.engine.prompt import build_prompt
from cortex.engine.text_model import TextModel, load_text_model
from cortex.engine.types import ChatRequest, Message, RawText, RawTokens, TextPart, VectorWish
from cortex.engine.vector_prompt import build_vector_prompt

CONTEXT_TOKENS = 64
ADDED = "<extra>"
CHAT = ChatRequest("m", (Message("user", (TextPart(f"a {ADDED}"),)),), seed=0, now_s=0)
PLAIN = replace(CHAT, messages=(), raw=RawText("Hi"))


@pytest.fixture(params=["qwen3_5", "llama"], ids=["nested", "flat"])
def model(request: pytest.FixtureRequest, golden: Path, tmp_path: Path) -> TextModel:
    """Its tokenizer has one token more than its weights."""
    ignored = shutil.ignore_patterns("*.safetensors", "expected")
    folder = Path(shutil.copytree(golden / request.param, tmp_path / "m", ignore=ignored))
    path = folder / "tokenizer.json"
    fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    tokens = fields["added_tokens"]
    added_id = tokens[-1]["id"] + 1
    tokens.append({**tokens[-1], "id": added_id, "content": ADDED, "special": False})
    path.write_text(json.dumps(fields), encoding="utf-8")
    path = folder / "config.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    config.get("text_config", config)["vocab_size"] = added_id
    path.write_text(json.dumps(config), encoding="utf-8")
    return load_text_model(folder)


def test_they_are_refused_by_their_place_before_anything_is_loaded(model: TextModel) -> None:
    added_id = model.tokenizer.vocab_size - 1
    asked = {
        "messages": CHAT,
        "prompt": replace(PLAIN, raw=RawText(f"a {ADDED}")),
        "logit_bias": replace(PLAIN, logit_bias=((added_id, 1.0),)),
    }
    for param, request in (*asked.items(), ("prompt", replace(PLAIN, raw=RawTokens((added_id,))))):
        with pytest.raises(InvalidRequest) as caught:
            build_prompt(model, request, CONTEXT_TOKENS)

        assert caught.value.param == param
        assert f"{added_id} is no token id of this model, though its tok" in caught.value.message
        assert caught.value.hint == f"its token ids are 0 to {added_id - 1}"

    with pytest.raises(InvalidRequest, match=f"{added_id} is no token id of this model"):
        build_vector_prompt(model, asked["prompt"], VectorWish(), CONTEXT_TOKENS)


def test_the_last_token_of_the_weights_is_taken(model: TextModel) -> None:
    request = replace(PLAIN, raw=RawTokens((model.vocab_size - 1,)))

    assert build_prompt(model, request, CONTEXT_TOKENS).prompt.token_ids == (model.vocab_size - 1,)
