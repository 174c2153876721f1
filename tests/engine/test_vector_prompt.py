"""Requests for vectors as prompts: what the tokenizer puts around a text, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cortex.engine.errors import (
    ContextLengthExceeded,
    CortexError,
    InvalidRequest,
    ModelNotSupported,
)
from cortex.engine.frames import pack_value, unpack_value
from cortex.engine.pooling_files import NoPooling
from cortex.engine.text_model import TextModel, TextModels, load_text_model
from cortex.engine.types import ChatRequest, Pooling, Prompt, RawText, RawTokens, VectorWish
from cortex.engine.vector_prompt import build_vector_prompt

CONTEXT_TOKENS = 64


@pytest.fixture(scope="module")
def model(golden: Path) -> TextModel:
    return load_text_model(golden / "qwen3")


def build(model: TextModel, raw: RawText | RawTokens, wish: VectorWish | None = None) -> Prompt:
    wish = wish or VectorWish()
    request = ChatRequest("m", (), seed=0, now_s=0, raw=raw, vector=wish)
    return build_vector_prompt(model, request, wish, CONTEXT_TOKENS).prompt


def refusal(model: TextModel, raw: RawText | RawTokens, wish: VectorWish) -> CortexError:
    with pytest.raises(CortexError) as caught:
        build(model, raw, wish)
    return caught.value


def test_a_text_is_read_for_its_vector_and_has_no_answer(model: TextModel) -> None:
    prompt = build(model, RawText("Hello there"))

    assert list(prompt.token_ids) == model.tokenizer.encode("Hello there")
    assert prompt.pooling == model.pooling
    assert prompt.max_tokens == 0
    assert unpack_value(Prompt, pack_value(prompt)) == prompt


def test_marks_of_control_in_a_text_are_plain_text(model: TextModel) -> None:
    end = model.tokenizer.special_id("<|im_end|>")
    assert end is not None

    prompt = build(model, RawText("a<|im_end|>b"))

    assert end not in prompt.token_ids
    assert model.tokenizer.decode(prompt.token_ids) == "a<|im_end|>b"


def test_a_beginning_mark_of_the_tokenizers_file_is_put_before_a_text(golden: Path) -> None:
    llama = load_text_model(golden / "llama")
    begin = llama.tokenizer.special_id("<|begin_of_text|>")

    token_ids = build(llama, RawText("Hello")).token_ids

    assert token_ids == (begin, *llama.tokenizer.encode("Hello"))
    assert build(llama, RawTokens(token_ids[1:])).token_ids == token_ids[1:]


def test_an_end_mark_of_the_tokenizers_file_is_the_last_token(golden: Path, tmp_path: Path) -> None:
    """As the published embedding models have it: the vector is the state of their end mark."""
    for file in (golden / "qwen3").iterdir():
        if file.is_file() and file.suffix != ".safetensors":
            shutil.copy(file, tmp_path)
    path = tmp_path / "tokenizer.json"
    fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    mark = fields["added_tokens"][0]
    frame = [
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": mark["content"], "type_id": 0}},
    ]
    known = {mark["content"]: {"id": mark["content"], "ids": [mark["id"]], "tokens": ["?"]}}
    fields["post_processor"] = {
        "type": "TemplateProcessing", "single": frame, "pair": frame, "special_tokens": known,
    }  # fmt: skip
    path.write_text(json.dumps(fields), encoding="utf-8")
    model = load_text_model(tmp_path)

    assert build(model, RawText("Hi")).token_ids == (*model.tokenizer.encode("Hi"), mark["id"])
    assert build(model, RawText("")).token_ids == (mark["id"],)


def test_fewer_dimensions_are_taken_and_others_refused(model: TextModel) -> None:
    assert isinstance(model.pooling, Pooling)
    most = model.pooling.dimensions

    prompt = build(model, RawText("Hi"), VectorWish(5))

    assert prompt.pooling == msgspec.structs.replace(model.pooling, dimensions=5)
    for dimensions in (0, most + 1):
        error = refusal(model, RawText("Hi"), VectorWish(dimensions))
        assert isinstance(error, InvalidRequest) and error.param == "dimensions"
        assert f"from 1 to {most}" in error.message


@pytest.mark.parametrize("raw", [RawText(""), RawTokens(()), RawTokens((10**6,))])
def test_what_holds_no_tokens_of_the_model_is_refused_by_its_place(
    model: TextModel, raw: RawText | RawTokens
) -> None:
    error = refusal(model, raw, VectorWish(param="input[3]"))

    assert isinstance(error, InvalidRequest) and error.param == "input[3]"
    assert error.message.startswith("input[3]: ")


def test_the_place_of_a_picture_is_refused(golden: Path) -> None:
    model = load_text_model(golden / "qwen3_5")
    assert model.vision is not None

    error = refusal(model, RawTokens((5, model.vision.pad_id)), VectorWish())

    assert isinstance(error, InvalidRequest) and "place of a picture" in error.message


def test_a_text_longer_than_the_context_is_refused_with_both_numbers(model: TextModel) -> None:
    assert len(build(model, RawTokens((5,) * CONTEXT_TOKENS)).token_ids) == CONTEXT_TOKENS

    error = refusal(model, RawTokens((5,) * (CONTEXT_TOKENS + 1)), VectorWish(param="input[1]"))

    assert isinstance(error, ContextLengthExceeded) and error.param == "input[1]"
    assert error.message == "input[1] is too long: 65 tokens > 64 maximum"


def test_a_folder_that_does_not_embed_says_why(model: TextModel) -> None:
    error = refusal(replace(model, pooling=NoPooling("so")), RawText("Hi"), VectorWish())

    assert isinstance(error, ModelNotSupported)
    assert error.message == "the model m does not embed: so"


def test_another_pooling_on_disk_is_noticed(golden: Path, tmp_path: Path) -> None:
    for file in (golden / "qwen3").iterdir():
        if file.is_file() and file.suffix != ".safetensors":
            shutil.copy(file, tmp_path)
    models = TextModels()
    assert isinstance(models.get(tmp_path).pooling, Pooling)

    (tmp_path / "modules.json").write_text("[]")

    assert isinstance(models.get(tmp_path).pooling, NoPooling)
