"""What a folder's files say that its model can be asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cortex.engine.errors import ModelNotSupported, VisionUnsupported
from cortex.engine.types import (
    Capability,
    ChatRequest,
    ImagePart,
    Message,
    RawText,
    VectorWish,
)
from cortex.peer.models.abilities import capabilities_of, check_able
from cortex.peer.models.look import Look

HEAD, OTHER = "lm_head.weight", "model.norm.weight"
TOKENIZER_CONFIG, INDEX = "tokenizer_config.json", "model.safetensors.index.json"
TEXT = ChatRequest("m", (), 0, 0, raw=RawText("Once upon"))
VECTOR = ChatRequest("m", (), 0, 0, raw=RawText("Once upon"), vector=VectorWish())
PICTURE = ChatRequest("m", (Message("user", (ImagePart(b""),)),), 0, 0)


def put(folder: Path, name: str, value: Any) -> None:
    (folder / name).write_text(json.dumps(value))


def put_weights(folder: Path, *tensors: str, name: str = "model.safetensors") -> None:
    """A file that holds those; its header is all that is looked at."""
    header = json.dumps({tensor: {"dtype": "F32", "data_offsets": [0, 0]} for tensor in tensors})
    (folder / name).write_bytes(len(header).to_bytes(8, "little") + header.encode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model that chats."""
    put_weights(tmp_path, OTHER, HEAD)
    (tmp_path / "chat_template.jinja").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("tokenizer_config", "said"),
    [
        (None, "completion"),
        ({"bos_token": "<s>", "model_max_length": int(1e30)}, "completion"),
        ({"chat_template": None}, "completion"),
        ({"chat_template": [{"name": "tool_use", "template": ""}]}, "completion"),
        ({"chat_template": [{"name": "default", "template": ""}]}, "text"),
        ({"chat_template": "{{ messages }}"}, "text"),
        ({"chat_template": 7}, "text"),  # the engine's to refuse, by its field
    ],
)
def test_a_folder_chats_where_it_has_a_template(
    folder: Path, tokenizer_config: Any, said: Capability
) -> None:
    assert capabilities_of({}, folder, "torch", Look()) == ("text",)
    (folder / "chat_template.jinja").unlink()
    if tokenizer_config is not None:
        put(folder, TOKENIZER_CONFIG, tokenizer_config)

    assert capabilities_of({}, folder, "torch", Look()) == (said,)


def test_vision_needs_a_template_that_shows_the_pictures(folder: Path) -> None:
    put(folder, "preprocessor_config.json", {})
    described: dict[str, Any] = {"vision_config": {}}
    assert capabilities_of(described, folder, "torch", Look()) == ("text", "vision")

    (folder / "chat_template.jinja").unlink()

    assert capabilities_of(described, folder, "torch", Look()) == ("completion",)


def test_weights_without_a_head_and_nothing_tied_for_one_make_vectors_alone(folder: Path) -> None:
    put_weights(folder, OTHER)

    assert capabilities_of({}, folder, "torch", Look()) == ("embedding",)
    assert capabilities_of({"tie_word_embeddings": True}, folder, "torch", Look()) == ("text",)
    assert capabilities_of({}, folder, "fake", Look()) == ("text",)


def test_the_head_may_be_in_any_file_or_named_by_the_index(folder: Path) -> None:
    put_weights(folder, OTHER)
    put_weights(folder, HEAD, name="more.safetensors")
    assert capabilities_of({}, folder, "torch", Look()) == ("text",)

    put(folder, INDEX, {"weight_map": {OTHER: "model.safetensors"}})
    assert capabilities_of({}, folder, "torch", Look()) == ("embedding",)

    put(folder, INDEX, {"weight_map": {OTHER: "model.safetensors", HEAD: "more.safetensors"}})
    assert capabilities_of({}, folder, "torch", Look()) == ("text",)


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 64, (99).to_bytes(8, "little") + b"{}"])
def test_weights_that_cannot_be_read_are_the_engines_to_refuse(
    folder: Path, content: bytes
) -> None:
    (folder / "model.safetensors").write_bytes(content)

    assert capabilities_of({}, folder, "torch", Look()) == ("text",)


def test_text_of_a_model_that_makes_vectors_alone_is_refused() -> None:
    for request in (TEXT, PICTURE):
        with pytest.raises(ModelNotSupported, match="m writes no text"):
            check_able("m", ("embedding",), request, None)

    check_able("m", ("embedding",), VECTOR, None)
    check_able("m", ("completion",), TEXT, None)
    check_able("m", (), TEXT, None)  # of a peer that says it in words not known here


def test_a_picture_is_refused_where_it_is_not_seen() -> None:
    with pytest.raises(VisionUnsupported, match="'seer' sees pictures"):
        check_able("m", ("text",), PICTURE, "seer")

    check_able("m", ("text", "vision"), PICTURE, None)
