"""A config is served exactly or refused by the name of its field."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from cortex.engine.errors import ModelInvalid
from cortex.engine.layers.rotary import Yarn
from cortex.engine.models.qwen3_5_config import parse_config


@pytest.fixture
def raw(golden: Path) -> dict[str, Any]:
    return json.loads((golden / "qwen3_5" / "config.json").read_text())


def test_the_golden_config_is_read_whole(raw: dict[str, Any]) -> None:
    config = parse_config(raw)

    assert config.vision is not None and config.vision.depth == 2
    assert config.text.layer_types.count("full_attention") == 2
    assert config.text.rope.rotary_dim == 16
    assert config.text.rope.mrope_section == (3, 3, 2)


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("text_config", "hidden_act", "gelu"),
        ("text_config", "attention_bias", True),
        ("text_config", "attn_output_gate", False),
        ("text_config", "sliding_window", 4096),
        ("text_config", "layer_types", ["mamba"] * 8),
        ("text_config", "num_key_value_heads", 3),
        ("text_config", "vocab_size", -1),
        ("vision_config", "deepstack_visual_indexes", [1, 2]),
        ("vision_config", "hidden_act", "gelu"),
        ("vision_config", "window_size", 112),
        ("vision_config", "out_hidden_size", 65),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    raw: dict[str, Any], part: str, field: str, value: Any
) -> None:
    raw[part][field] = value

    with pytest.raises(ModelInvalid, match=field.replace("num_key_value_heads", "heads")):
        parse_config(raw)


def test_unknown_rope_settings_are_refused_by_name(raw: dict[str, Any]) -> None:
    raw["text_config"]["rope_parameters"]["rope_type"] = "longrope"

    with pytest.raises(ModelInvalid, match="longrope"):
        parse_config(raw)


def test_a_missing_field_is_named(raw: dict[str, Any]) -> None:
    del raw["text_config"]["linear_key_head_dim"]

    with pytest.raises(ModelInvalid, match="linear_key_head_dim"):
        parse_config(raw)


def test_old_spellings_mean_the_same(raw: dict[str, Any]) -> None:
    old = copy.deepcopy(raw)
    rope = old["text_config"].pop("rope_parameters")
    old["text_config"]["rope_theta"] = rope.pop("rope_theta")
    old["text_config"]["rope_scaling"] = rope
    old["text_config"]["torch_dtype"] = old["text_config"].pop("dtype")

    assert parse_config(old) == parse_config(raw)


def test_layers_follow_the_interval_where_they_are_not_listed(raw: dict[str, Any]) -> None:
    listed = parse_config(raw).text.layer_types
    del raw["text_config"]["layer_types"]

    assert parse_config(raw).text.layer_types == listed


def test_yarn_is_read(raw: dict[str, Any]) -> None:
    raw["text_config"]["rope_parameters"] |= {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 262144,
    }

    assert parse_config(raw).text.rope.scaling == Yarn(4.0, 262144)


def test_the_marks_of_a_fine_tunes_maker_change_nothing(raw: dict[str, Any]) -> None:
    marked = raw | {"unsloth_version": "2026.4.5", "model_name": "unsloth/Qwen3.5-9B"}

    assert parse_config(marked) == parse_config(raw)


@pytest.mark.parametrize("name", ["quantization_config", "quantization"])
@pytest.mark.parametrize("part", [None, "text_config"])
def test_quantised_weights_are_refused_in_words_and_without_their_settings(
    raw: dict[str, Any], part: str | None, name: str
) -> None:
    fields = raw if part is None else raw[part]
    fields[name] = {"quant_method": "fp8", "ignore": ["lm_head"] * 1000}

    with pytest.raises(ModelInvalid, match="the weights are quantised") as caught:
        parse_config(raw)
    assert "lm_head" not in caught.value.message
    assert "bfloat16" in caught.value.hint


def test_a_field_that_nobody_knows_is_told_shortly_and_with_what_to_do(raw: dict[str, Any]) -> None:
    raw["layer_scales"] = list(range(10_000))

    with pytest.raises(ModelInvalid, match=r"layer_scales = \[0, 1, 2, .*… is not") as caught:
        parse_config(raw)
    assert len(caught.value.message) < 250
    assert "take the field out of config.json" in caught.value.hint
