"""The published shapes that benchmarks are run at, tensor by tensor.

A shape is a config and the list of tensors that go with it, in the order of the file. It knows no
torch: how the numbers are drawn is named here and done elsewhere. Sources: the config.json of
Qwen/Qwen3-0.6B and Qwen/Qwen3-8B; for Qwen3.5-0.8B and Qwen3.5-9B the text part of their configs,
as text-only checkpoints, without the extra head for guessing ahead (`mtp.*`): of weights drawn at
random there is nothing to guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Draw = Literal["normal", "zeros", "ones", "log_uniform"]

_QWEN3_MARKS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
)
_QWEN3_5_MARKS = (
    *_QWEN3_MARKS,
    "<|audio_start|>",
    "<|audio_end|>",
    "<tts_pad>",
    "<tts_text_bos>",
    "<tts_text_eod>",
    "<tts_text_bos_single>",
    "<|audio_pad|>",
)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a checkpoint. `is_float32` ones are published so whatever the others are."""

    name: str
    shape: tuple[int, ...]
    draw: Draw = "normal"
    is_float32: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's dimensions. `marks` are the tokenizer's added tokens, the first at `first_mark`."""

    name: str
    config: Mapping[str, Any]
    tensors: Callable[[Mapping[str, Any]], Iterator[Tensor]]
    marks: tuple[str, ...]
    first_mark: int


def qwen3_tensors(config: Mapping[str, Any]) -> Iterator[Tensor]:
    hidden, head = config["hidden_size"], config["head_dim"]
    queries = config["num_attention_heads"] * head
    keys = config["num_key_value_heads"] * head
    yield Tensor("model.embed_tokens.weight", (config["vocab_size"], hidden))
    for index in range(config["num_hidden_layers"]):
        layer = f"model.layers.{index}."
        yield Tensor(f"{layer}input_layernorm.weight", (hidden,), "ones")
        yield Tensor(f"{layer}self_attn.q_proj.weight", (queries, hidden))
        yield Tensor(f"{layer}self_attn.k_proj.weight", (keys, hidden))
        yield Tensor(f"{layer}self_attn.v_proj.weight", (keys, hidden))
        yield Tensor(f"{layer}self_attn.o_proj.weight", (hidden, queries))
        yield Tensor(f"{layer}self_attn.q_norm.weight", (head,), "ones")
        yield Tensor(f"{layer}self_attn.k_norm.weight", (head,), "ones")
        yield Tensor(f"{layer}post_attention_layernorm.weight", (hidden,), "ones")
        yield from _mlp(layer, hidden, config["intermediate_size"])
    yield Tensor("model.norm.weight", (hidden,), "ones")
    yield from _head(config)


def qwen3_5_tensors(config: Mapping[str, Any]) -> Iterator[Tensor]:
    """Norms are stored as what is added to one, but for the linear layers' own."""
    hidden = config["hidden_size"]
    yield Tensor("model.embed_tokens.weight", (config["vocab_size"], hidden))
    for index, kind in enumerate(config["layer_types"]):
        layer = f"model.layers.{index}."
        yield Tensor(f"{layer}input_layernorm.weight", (hidden,), "zeros")
        if kind == "linear_attention":
            yield from _linear_attention(f"{layer}linear_attn.", config)
        else:
            yield from _gated_attention(f"{layer}self_attn.", config)
        yield Tensor(f"{layer}post_attention_layernorm.weight", (hidden,), "zeros")
        yield from _mlp(layer, hidden, config["intermediate_size"])
    yield Tensor("model.norm.weight", (hidden,), "zeros")
    yield from _head(config)


def _head(config: Mapping[str, Any]) -> Iterator[Tensor]:
    if not config["tie_word_embeddings"]:
        yield Tensor("lm_head.weight", (config["vocab_size"], config["hidden_size"]))


def _linear_attention(prefix: str, config: Mapping[str, Any]) -> Iterator[Tensor]:
    hidden, value_heads = config["hidden_size"], config["linear_num_value_heads"]
    keys = config["linear_num_key_heads"] * config["linear_key_head_dim"]
    values = value_heads * config["linear_value_head_dim"]
    mixed = 2 * keys + values
    yield Tensor(f"{prefix}in_proj_qkv.weight", (mixed, hidden))
    yield Tensor(f"{prefix}in_proj_z.weight", (values, hidden))
    yield Tensor(f"{prefix}in_proj_b.weight", (value_heads, hidden))
    yield Tensor(f"{prefix}in_proj_a.weight", (value_heads, hidden))
    yield Tensor(f"{prefix}conv1d.weight", (mixed, 1, config["linear_conv_kernel_dim"]))
    yield Tensor(f"{prefix}A_log", (value_heads,), "log_uniform", is_float32=True)
    yield Tensor(f"{prefix}dt_bias", (value_heads,), "ones")
    norm = (config["linear_value_head_dim"],)
    yield Tensor(f"{prefix}norm.weight", norm, "ones", is_float32=True)
    yield Tensor(f"{prefix}out_proj.weight", (hidden, values))


def _gated_attention(prefix: str, config: Mapping[str, Any]) -> Iterator[Tensor]:
    hidden, head = config["hidden_size"], config["head_dim"]
    queries = config["num_attention_heads"] * head
    keys = config["num_key_value_heads"] * head
    # Each head's query rows are followed by those of its output gate.
    yield Tensor(f"{prefix}q_proj.weight", (2 * queries, hidden))
    yield Tensor(f"{prefix}k_proj.weight", (keys, hidden))
    yield Tensor(f"{prefix}v_proj.weight", (keys, hidden))
    yield Tensor(f"{prefix}o_proj.weight", (hidden, queries))
    yield Tensor(f"{prefix}q_norm.weight", (head,), "zeros")
    yield Tensor(f"{prefix}k_norm.weight", (head,), "zeros")


def _mlp(layer: str, hidden: int, inner: int) -> Iterator[Tensor]:
    yield Tensor(f"{layer}mlp.gate_proj.weight", (inner, hidden))
    yield Tensor(f"{layer}mlp.up_proj.weight", (inner, hidden))
    yield Tensor(f"{layer}mlp.down_proj.weight", (hidden, inner))


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
    qwen3_tensors,
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
    qwen3_5_tensors,
    _QWEN3_5_MARKS,
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
