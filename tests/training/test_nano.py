"""The folder that training writes is the one that the engine serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from cortex.engine.models.registry import load_model
from cortex.engine.text_model import load_text_model
from cortex.engine.types import ChatRequest, Message, TextPart
from training.nano import (
    SPECIAL_TOKENS,
    VOCAB_SIZE,
    encode,
    next_prompt_text,
    prompt_text,
    token_id,
    write_folder,
)
from training.state import (
    Trainee,
    export_tower,
    export_weights,
    import_tower,
    import_weights,
    new_trainee,
)

torch.set_num_threads(1)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trainee() -> Trainee:
    return new_trainee(seed=7)


@pytest.fixture(scope="module")
def folder(trainee: Trainee, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("nano")
    export_weights(trainee.model, target)
    return target


def test_the_template_renders_what_training_feeds(folder: Path) -> None:
    model = load_text_model(folder)
    question = "What is the total? £5 & <b>ünïcode</b>"
    request = ChatRequest("m", (Message("user", (TextPart(question),)),), seed=0, now_s=0)

    assert model.chat is not None
    rendered = model.chat.template.render(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}],
        now_s=request.now_s,
    )

    assert rendered == prompt_text(question, pictures=1)
    assert model.tokenizer.encode(rendered) == encode(rendered, pads=[1])


def test_turns_tools_and_calls_render_as_training_feeds_them(folder: Path) -> None:
    chat = load_text_model(folder).chat
    assert chat is not None
    tool: dict[str, Any] = {"type": "function", "function": {"name": "save", "parameters": {}}}
    function = {"name": "save", "arguments": {"name": "total", "value": "£5"}}
    call = (
        '<tool_call>\n{"name": "save", "arguments": {"name": "total", "value": "£5"}}\n</tool_call>'
    )
    messages = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Save it."}]},
        {"role": "assistant", "content": "", "tool_calls": [{"function": function}]},
        {"role": "tool", "content": "ok"},
    ]

    rendered = chat.template.render(messages, tools=[tool], now_s=0)

    first = prompt_text("Save it.", pictures=1, tools=[json.dumps(tool)])
    answered = next_prompt_text("<tool_response>\nok\n</tool_response>")
    assert rendered == f"{first}{call}<|im_end|>{answered}"
    assert chat.family.calls == "json"


def test_special_tokens_have_the_ids_that_the_tokenizer_gives_them(folder: Path) -> None:
    tokenizer = load_text_model(folder).tokenizer

    assert tokenizer.vocab_size == 256 + len(SPECIAL_TOKENS) <= VOCAB_SIZE
    for name in ("<|im_start|>", "<|im_end|>", "<|image_pad|>", "<|vision_start|>"):
        assert tokenizer.special_id(name) == token_id(name)


def test_exported_weights_load_in_the_engine_and_compute_the_same(
    trainee: Trainee, folder: Path
) -> None:
    served = load_model(folder, torch.float32, CPU).model
    ids = torch.tensor([encode(prompt_text("Hello"))])
    positions = torch.arange(ids.shape[1]).expand(3, 1, -1)
    reloaded = new_trainee(seed=8).model
    import_weights(reloaded, folder)

    with torch.inference_mode():
        ours = served.logits(served(served.embed(ids), positions))
        again = reloaded.logits(reloaded(reloaded.embed(ids), positions))
        before = trainee.model.logits(trainee.model(trainee.model.embed(ids), positions))

    assert (ours - again).abs().max() < 1e-4  # packed layers and plain ones
    assert (ours - before).abs().max() < 0.2  # bfloat16 rounding, and nothing more


def test_the_model_keeps_to_its_size(trainee: Trainee, folder: Path) -> None:
    assert sum(p.numel() for p in trainee.model.parameters()) <= 20_000_000
    assert (folder / "model.safetensors").stat().st_size <= 40_000_000


def test_every_file_of_a_published_folder_is_written(tmp_path: Path) -> None:
    write_folder(tmp_path)

    assert {p.name for p in tmp_path.iterdir()} == {
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
        "preprocessor_config.json",
        "chat_template.jinja",
    }


def test_a_tower_that_learnt_by_itself_comes_with_its_head_and_leaves_the_rest(
    tmp_path: Path,
) -> None:
    learnt, other = new_trainee(seed=1), new_trainee(seed=2)
    export_tower(learnt, tmp_path / "tower.safetensors")

    import_tower(other, tmp_path / "tower.safetensors")

    theirs, untouched = other.state_dict(), new_trainee(seed=2).state_dict()
    for name, tensor in learnt.state_dict().items():
        is_taken = name.startswith(("model.visual.", "cell_reader."))
        expected = tensor.bfloat16().float() if is_taken else untouched[name]
        assert torch.equal(theirs[name], expected), name
