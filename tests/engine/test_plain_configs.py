"""Configs of the families that share the plain decoder: read whole, or refused by a field's name.

The published ones are those of Qwen/Qwen3-0.6B, Qwen/Qwen2.5-0.5B-Instruct and
meta-llama/Llama-3.2-1B-Instruct, without their token ids.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch

from cortex.engine.errors import ModelInvalid
from cortex.engine.layers.rotary import Llama3Scaling, RopeConfig, Yarn
from cortex.engine.models import llama, qwen2, qwen3
from cortex.engine.models.memory import AttentionShape
from cortex.engine.models.plain_decoder import PlainModel

PUBLISHED: dict[ModuleType, dict[str, Any]] = {
    qwen3: {
        "model_type": "qwen3",
        "attention_bias": False,
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "max_position_embeddings": 40960,
        "max_window_layers": 28,
        "num_attention_heads": 16,
        "num_hidden_layers": 28,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_sliding_window": False,
        "vocab_size": 151936,
    },
    qwen2: {
        "model_type": "qwen2",
        "hidden_act": "silu",
        "hidden_size": 896,
        "intermediate_size": 4864,
        "max_position_embeddings": 32768,
        "max_window_layers": 21,
        "num_attention_heads": 14,
        "num_hidden_layers": 24,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": 32768,
        "tie_word_embeddings": True,
        "use_sliding_window": False,
        "vocab_size": 151936,
    },
    llama: {
        "model_type": "llama",
        "attention_bias": False,
        "head_dim": 64,
        "hidden_act": "silu",
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "max_position_embeddings": 131072,
        "mlp_bias": False,
        "num_attention_heads": 32,
        "num_hidden_layers": 16,
        "num_key_value_heads": 8,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "factor": 32.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
        "rope_theta": 500000.0,
        "tie_word_embeddings": True,
        "vocab_size": 128256,
    },
}
YARN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}

families = pytest.mark.parametrize("family", PUBLISHED, ids=lambda m: m.__name__.split(".")[-1])


def test_published_configs_are_read_whole() -> None:
    dense = {family: family.parse_config(raw) for family, raw in PUBLISHED.items()}

    assert dense[qwen3].attention == AttentionShape(8, 128)
    assert dense[qwen3].rope == RopeConfig(1e6, 128)
    assert dense[qwen3].has_head_norms and not dense[qwen3].qkv_bias
    assert dense[qwen2].attention == AttentionShape(2, 64), "hidden size over heads"
    assert dense[qwen2].qkv_bias and not dense[qwen2].has_head_norms
    assert dense[llama].rope == RopeConfig(5e5, 64, scaling=Llama3Scaling(32.0, 1.0, 4.0, 8192))
    assert not dense[llama].qkv_bias and not dense[llama].has_head_norms


def test_models_are_as_large_as_published() -> None:
    """Parameters as the hub counts them in the published files."""
    sizes: dict[ModuleType, int] = {}
    for family, raw in PUBLISHED.items():
        with torch.device("meta"):
            model = PlainModel(family.parse_config(raw))
        sizes[family] = sum(parameter.numel() for parameter in model.parameters())

    assert sizes == {qwen3: 596_049_920, qwen2: 494_032_768, llama: 1_235_814_400}


@families
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_act", "gelu"),
        ("num_key_value_heads", 3),
        ("vocab_size", 0),
        ("rms_norm_eps", -1e-6),
        ("tie_word_embeddings", "yes"),
        ("layer_types", ["sliding_attention", "full_attention"]),
        ("rope_scaling", {"rope_type": "longrope", "factor": 2.0}),
        ("rope_scaling", {**YARN, "attn_factor": 0.9}),
        ("partial_rotary_factor", 0.5),
        ("quantization_config", {"quant_method": "awq"}),
        ("num_experts", 8),
        ("head_dim", 63),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    family: ModuleType, field: str, value: Any
) -> None:
    with pytest.raises(ModelInvalid, match="rope_type|attn_factor" if "rope" in field else field):
        family.parse_config({**PUBLISHED[family], field: value})


@pytest.mark.parametrize(
    ("family", "field", "value"),
    [
        (qwen3, "use_sliding_window", True),
        (qwen3, "attention_bias", True),
        (qwen2, "use_sliding_window", True),
        (qwen2, "use_mrope", True),
        (llama, "attention_bias", True),
        (llama, "mlp_bias", True),
        (llama, "pretraining_tp", 2),
        (llama, "sliding_window", 4096),
    ],
)
def test_what_a_family_may_say_and_we_cannot_do_is_refused_by_name(
    family: ModuleType, field: str, value: Any
) -> None:
    with pytest.raises(ModelInvalid, match=f"{field} ="):
        family.parse_config({**PUBLISHED[family], field: value})


@families
@pytest.mark.parametrize("field", ["hidden_size", "num_key_value_heads", "rope_theta"])
def test_a_missing_field_is_named(family: ModuleType, field: str) -> None:
    raw = {name: value for name, value in PUBLISHED[family].items() if name != field}

    with pytest.raises(ModelInvalid, match=field):
        family.parse_config(raw)


def test_a_qwen3_config_must_say_its_head_size() -> None:
    """Hidden size over heads would be another model: it is 64 in Qwen3-0.6B, not 128."""
    raw = {name: value for name, value in PUBLISHED[qwen3].items() if name != "head_dim"}

    with pytest.raises(ModelInvalid, match="head_dim"):
        qwen3.parse_config(raw)


@families
def test_old_and_new_spellings_mean_the_same(family: ModuleType) -> None:
    old = PUBLISHED[family]
    new = {k: v for k, v in old.items() if k not in ("rope_theta", "rope_scaling", "torch_dtype")}
    scaling = old.get("rope_scaling") or {"rope_type": "default"}
    new |= {
        "rope_parameters": {"rope_theta": old["rope_theta"], **scaling},
        "dtype": "bfloat16",
        "layer_types": ["full_attention"] * old["num_hidden_layers"],
    }

    assert family.parse_config(new) == family.parse_config(old)


@families
def test_yarn_is_read(family: ModuleType) -> None:
    config = family.parse_config({**PUBLISHED[family], "rope_scaling": YARN})

    assert config.rope.scaling == Yarn(4.0, 32768)


def test_a_llama_scaling_without_a_band_is_refused() -> None:
    scaling = {**PUBLISHED[llama]["rope_scaling"], "high_freq_factor": 1.0}

    with pytest.raises(ModelInvalid, match="high_freq_factor"):
        llama.parse_config({**PUBLISHED[llama], "rope_scaling": scaling})
