"""The published shapes that benchmarks are run at, and the tensors of a checkpoint of one.

A shape is a config and the marks of its tokenizer. Its tensors are those that the engine builds for
that config; how the numbers are drawn is named here and done elsewhere. Sources: the config.json of
Qwen/Qwen3-0.6B and Qwen/Qwen3-8B; for Qwen3.5-0.8B and Qwen3.5-9B the text part of their configs,
as text-only checkpoints, without the extra head for guessing ahead (`mtp.*`): of weights drawn at
random there is nothing to guess.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from cortex.engine.layers.norms import ZeroCentredRMSNorm
from cortex.engine.models.registry import read_config
from training.nano import SPECIAL_TOKENS

Draw = Literal["normal", "zeros", "ones", "log_uniform"]

# Those for sound came with Qwen3.5.
_QWEN3_MARKS = SPECIAL_TOKENS[: SPECIAL_TOKENS.index("</think>") + 1]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a checkpoint. `is_float32` ones are published so whatever the others are."""

    name: str
    shape: tuple[int, ...]
    draw: Draw = "normal"
    is_float32: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's dimensions. `config` is config.json; `marks` are the tokenizer's added tokens, the
    first at `first_mark`.
    """

    name: str
    config: Mapping[str, Any]
    marks: tuple[str, ...]
    first_mark: int


def text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What config.json says of how text is read."""
    return config.get("text_config") or config


def tensors_of(config: Mapping[str, Any]) -> Iterator[Tensor]:
    """Of the engine's own model, by the names that files give them."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config), encoding="utf-8")
        architecture, parsed, _ = read_config(Path(folder))
    with torch.device("meta"):
        model = architecture.build(parsed)
    kept = architecture.weight_names(parsed).keep_float32
    is_text_only = "text_config" not in config
    for name, parameter in model.named_parameters():
        module = model.get_submodule(name.rpartition(".")[0])
        yield Tensor(
            _file_name(name, is_text_only=is_text_only),
            tuple(parameter.shape),
            "normal" if parameter.dim() > 1 else _draw_of_one_row(name, module),
            name.endswith(kept),
        )


def _file_name(parameter: str, *, is_text_only: bool) -> str:
    if not parameter.startswith(("language_model.", "visual.")):
        return parameter
    return f"model.{parameter.removeprefix('language_model.') if is_text_only else parameter}"


def _draw_of_one_row(parameter: str, module: nn.Module) -> Draw:
    if parameter.endswith(".A_log"):
        return "log_uniform"
    # What is added to one is stored.
    return "zeros" if isinstance(module, ZeroCentredRMSNorm) else "ones"


QWEN3_0_6B = Shape(
    "qwen3-0.6b",
    {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 151643,
        "eos_token_id": 151645,
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": 1024,
        "initializer_range": 0.02,
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
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": 151936,
    },
    _QWEN3_MARKS,
    151643,
)

QWEN3_5_0_8B = Shape(
    "qwen3.5-0.8b",
    {
        "architectures": ["Qwen3_5ForCausalLM"],
        "model_type": "qwen3_5_text",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "attn_output_gate": True,
        "bos_token_id": 248044,
        "eos_token_id": 248044,
        "full_attention_interval": 4,
        "head_dim": 256,
        "hidden_act": "silu",
        "hidden_size": 1024,
        "initializer_range": 0.02,
        "intermediate_size": 3584,
        "layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 6,
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 16,
        "linear_value_head_dim": 128,
        "mamba_ssm_dtype": "float32",
        "max_position_embeddings": 262144,
        "num_attention_heads": 8,
        "num_hidden_layers": 24,
        "num_key_value_heads": 2,
        "pad_token_id": None,
        "partial_rotary_factor": 0.25,
        "rms_norm_eps": 1e-06,
        "rope_parameters": {
            "mrope_interleaved": True,
            "mrope_section": [11, 11, 10],
            "partial_rotary_factor": 0.25,
            "rope_theta": 10000000,
            "rope_type": "default",
        },
        "tie_word_embeddings": True,
        "use_cache": True,
        "vocab_size": 248320,
    },
    SPECIAL_TOKENS,
    248044,
)

QWEN3_8B = replace(
    QWEN3_0_6B,
    name="qwen3-8b",
    config={
        **QWEN3_0_6B.config,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "max_window_layers": 36,
        "num_attention_heads": 32,
        "num_hidden_layers": 36,
        "tie_word_embeddings": False,
    },
)

QWEN3_5_9B = replace(
    QWEN3_5_0_8B,
    name="qwen3.5-9b",
    config={
        **QWEN3_5_0_8B.config,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 8,
        "linear_num_value_heads": 32,
        "num_attention_heads": 16,
        "num_hidden_layers": 32,
        "num_key_value_heads": 4,
        "tie_word_embeddings": False,
    },
)

SHAPES = {shape.name: shape for shape in (QWEN3_0_6B, QWEN3_8B, QWEN3_5_0_8B, QWEN3_5_9B)}
