"""A folder's architecture is found by its model_type, and what is not known is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from cortex.engine.errors import ModelInvalid
from cortex.engine.models.registry import ARCHITECTURES, load_model

CPU = torch.device("cpu")


@pytest.mark.parametrize("model_type", ["qwen4_exp", None, ["qwen3"]])
def test_another_architecture_is_named_with_all_that_are_known(
    tmp_path: Path, model_type: object
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))

    with pytest.raises(ModelInvalid) as caught:
        load_model(tmp_path, torch.float32, CPU)

    assert repr(model_type) in str(caught.value)
    assert all(name in caught.value.hint for name in ARCHITECTURES)


def test_a_config_that_is_no_json_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")

    with pytest.raises(ModelInvalid, match=r"config\.json"):
        load_model(tmp_path, torch.float32, CPU)


def test_an_error_in_a_config_says_which_file_it_is_in(golden: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(golden / "qwen3", tmp_path / "copied"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "use_sliding_window": True}))

    with pytest.raises(ModelInvalid, match=r"copied/config\.json: use_sliding_window = true"):
        load_model(folder, torch.float32, CPU)


@pytest.mark.parametrize("name", ["qwen3", "qwen2", "llama", "qwen3_5", "qwen3_5_text"])
def test_a_model_says_what_it_remembers_of_each_layer(golden: Path, name: str) -> None:
    model = load_model(golden / name, torch.float32, CPU).model
    raw = json.loads((golden / name / "config.json").read_text())
    text = raw.get("text_config", raw)
    memory = model.shape.memory

    assert sorted([*memory.attention, *memory.linear]) == list(range(text["num_hidden_layers"]))
    assert bool(memory.linear) == name.startswith("qwen3_5")
    assert {each.kv_heads for each in memory.attention.values()} == {text["num_key_value_heads"]}
    assert model.shape.vocab_size == text["vocab_size"]
    assert (model.shape.vision is None) == ("vision_config" not in raw)
