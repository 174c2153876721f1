"""Checkpoints made on the spot: their numbers, their files, their tokenizer, on a tiny shape."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from bench.make_checkpoint import draw, make_checkpoint, plan_shards
from bench.peers.base import Prompt
from bench.shapes import QWEN3_0_6B, QWEN3_5_0_8B, SHAPES, Shape, Tensor, tensors_of
from bench.tiny_shapes import FIRST_MARK, tiny
from cortex.engine.models.registry import load_model
from cortex.engine.template import ChatTemplate
from cortex.engine.weights import read_tensors


@pytest.fixture(params=[QWEN3_0_6B, QWEN3_5_0_8B], ids=lambda shape: shape.name)
def shape(request: pytest.FixtureRequest) -> Shape:
    return tiny(request.param)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    files = folder.glob("*.safetensors")
    return {name: tensor for file in files for name, tensor in read_tensors(file).items()}


@pytest.mark.parametrize(
    ("name", "num_parameters"), [("qwen3-0.6b", 596_049_920), ("qwen3.5-0.8b", 752_393_024)]
)
def test_the_shapes_have_the_published_number_of_parameters(name: str, num_parameters: int) -> None:
    sizes = [math.prod(tensor.shape) for tensor in tensors_of(SHAPES[name].config)]
    assert sum(sizes) == num_parameters


@pytest.mark.parametrize(
    ("shape", "mark", "token_id"),
    [
        (QWEN3_0_6B, "<|im_end|>", 151_645),
        (QWEN3_0_6B, "<|image_pad|>", 151_655),
        (QWEN3_0_6B, "</think>", 151_668),
        (QWEN3_5_0_8B, "<|image_pad|>", 248_056),
        (QWEN3_5_0_8B, "<|audio_pad|>", 248_076),
    ],
)
def test_a_mark_has_its_published_id(shape: Shape, mark: str, token_id: int) -> None:
    assert shape.first_mark + shape.marks.index(mark) == token_id


def test_what_came_with_the_next_family_is_no_mark_of_this_one() -> None:
    assert QWEN3_0_6B.marks[-1] == "</think>"
    assert QWEN3_5_0_8B.marks[-1] == "<|audio_pad|>"


def test_norms_and_rates_are_drawn_as_the_architecture_stores_them() -> None:
    draws = {tensor.name: tensor.draw for tensor in tensors_of(QWEN3_5_0_8B.config)}
    assert draws["model.layers.0.input_layernorm.weight"] == "zeros"
    assert draws["model.layers.0.linear_attn.norm.weight"] == "ones"
    assert draws["model.layers.0.linear_attn.A_log"] == "log_uniform"


def test_the_engine_fills_every_parameter_from_it(shape: Shape, tmp_path: Path) -> None:
    out = tmp_path / "made"
    make_checkpoint(shape, "bfloat16", out, seed=0)
    loaded = load_model(out, torch.bfloat16, torch.device("cpu"))
    assert loaded.weight_bytes > 0
    assert not any(parameter.is_meta for parameter in loaded.model.parameters())


def test_the_same_seed_makes_the_same_model_and_another_another(
    shape: Shape, tmp_path: Path
) -> None:
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        make_checkpoint(shape, "float32", tmp_path / name, seed=seed)
    one, again, other = (weights(tmp_path / name) for name in ("one", "again", "other"))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


def test_both_dtypes_hold_the_same_numbers(shape: Shape, tmp_path: Path) -> None:
    make_checkpoint(shape, "float32", tmp_path / "float32", seed=0)
    make_checkpoint(shape, "bfloat16", tmp_path / "bfloat16", seed=0)
    whole, half = weights(tmp_path / "float32"), weights(tmp_path / "bfloat16")
    assert whole["model.norm.weight"].dtype == torch.float32
    assert half["model.norm.weight"].dtype == torch.bfloat16
    assert all(torch.equal(whole[name], half[name].float()) for name in whole)


def test_weights_are_spread_as_the_config_says(shape: Shape) -> None:
    (chunk,) = draw(Tensor("w", (400, 500)), 0.02, seed=0)
    assert float(chunk.std()) == pytest.approx(0.02, rel=0.02)
    assert float(chunk.mean()) == pytest.approx(0.0, abs=2e-4)


def test_large_checkpoints_are_split_and_their_index_names_every_tensor(
    shape: Shape, tmp_path: Path
) -> None:
    out = tmp_path / "made"
    make_checkpoint(shape, "float32", out, seed=0, max_shard_bytes=200_000)
    index = json.loads((out / "model.safetensors.index.json").read_text())
    files = sorted(path.name for path in out.glob("*.safetensors"))
    assert len(files) > 1
    assert sorted(set(index["weight_map"].values())) == files
    assert set(index["weight_map"]) == set(weights(out))
    load_model(out, torch.float32, torch.device("cpu"))


def test_a_tensor_over_the_limit_has_a_file_of_its_own() -> None:
    tensors = [Tensor("a", (10,)), Tensor("large", (1000,)), Tensor("b", (10,))]
    shards = plan_shards(tensors, "float32", max_shard_bytes=100)
    assert [[tensor.name for tensor in shard] for shard in shards] == [["a"], ["large"], ["b"]]


def test_an_interrupted_run_leaves_no_folder_of_that_name(
    shape: Shape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.make_checkpoint._write_shard", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_checkpoint(shape, "float32", tmp_path / "made", seed=0)
    assert not (tmp_path / "made").exists()


def test_the_tokenizer_has_a_token_for_every_id_and_gives_text_back(
    shape: Shape, tmp_path: Path
) -> None:
    make_checkpoint(shape, "bfloat16", tmp_path / "made", seed=0)
    tokenizer = Tokenizer.from_file(str(tmp_path / "made" / "tokenizer.json"))
    num_tokens = FIRST_MARK + len(shape.marks)
    assert tokenizer.get_vocab_size() == num_tokens
    assert all(tokenizer.id_to_token(id_) is not None for id_ in range(num_tokens))
    for text in ("Hello, how are 12 of you?\n", "é 漢字 🙂", "<|im_start|>user\nhi<|im_end|>"):
        assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_a_digit_is_one_token_so_that_a_prompts_text_and_ids_agree(
    shape: Shape, tmp_path: Path
) -> None:
    make_checkpoint(shape, "bfloat16", tmp_path / "made", seed=0)
    tokenizer = Tokenizer.from_file(str(tmp_path / "made" / "tokenizer.json"))
    prompt = Prompt("0123456789" * 3)
    assert tuple(tokenizer.encode(prompt.text).ids) == prompt.token_ids


def test_the_template_asks_for_an_answer(shape: Shape, tmp_path: Path) -> None:
    make_checkpoint(shape, "bfloat16", tmp_path / "made", seed=0)
    config = json.loads((tmp_path / "made" / "tokenizer_config.json").read_text())
    template = ChatTemplate(config["chat_template"], {}, "made")
    said = template.render([{"role": "user", "content": "hi"}], now_s=0)
    assert said == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
