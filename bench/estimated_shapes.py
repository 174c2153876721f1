"""Eight checkpoints of different shapes to estimate: each architecture, with pictures and without,
tied and untied, in one file and in several, in every dtype that files hold.

`small` ones are twins for tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .make_checkpoint import Dtype, make_checkpoint, num_bytes
from .shapes import QWEN3_0_6B, Shape, tensors_of, text_part

_MARKS = QWEN3_0_6B.marks
_BASE = {
    "hidden_act": "silu", "initializer_range": 0.02, "max_position_embeddings": 32_768,
    "rms_norm_eps": 1e-6, "head_dim": 64,
}  # fmt: skip
_LLAMA_ROPE = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Made:
    """A checkpoint to make. `config` is config.json but for the dtype, `text` what it says of how
    text is read.
    """

    name: str
    config: Mapping[str, Any]
    dtype: Dtype
    num_shards: int = 1

    @property
    def text(self) -> Mapping[str, Any]:
        return text_part(self.config)

    def make(self, out: Path) -> None:
        first_mark = int(self.text["vocab_size"]) - len(_MARKS)
        shape = Shape(self.name, self.config, _MARKS, first_mark)
        size_bytes = sum(num_bytes(tensor, self.dtype) for tensor in tensors_of(self.config))
        shard_bytes = size_bytes // self.num_shards + 1
        make_checkpoint(shape, self.dtype, out, seed=0, max_shard_bytes=shard_bytes)


def _plain(
    kind: str, vocab: int, hidden: int, inner: int, layers: int, *, tied: bool, **more: Any
) -> dict[str, Any]:
    heads = hidden // 64
    config = {
        **_BASE, "model_type": kind, "vocab_size": vocab, "hidden_size": hidden,
        "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": heads // 2, "tie_word_embeddings": tied,
        "rope_theta": 1_000_000.0, **more,
    }  # fmt: skip
    if kind == "qwen2":
        del config["head_dim"]
    return config


def _hybrid(
    vocab: int, hidden: int, inner: int, layers: int, vision_depth: int, *, tied: bool
) -> dict[str, Any]:
    text = {
        **_BASE, "model_type": "qwen3_5_text", "vocab_size": vocab, "hidden_size": hidden,
        "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": 8,
        "num_key_value_heads": 2, "attn_output_gate": True, "full_attention_interval": 4,
        "layer_types": (["linear_attention"] * 3 + ["full_attention"]) * (layers // 4),
        "linear_conv_kernel_dim": 4, "linear_key_head_dim": 64, "linear_num_key_heads": 8,
        "linear_num_value_heads": 16, "linear_value_head_dim": 64, "mamba_ssm_dtype": "float32",
        "partial_rotary_factor": 0.25, "tie_word_embeddings": tied,
        "rope_parameters": {
            "mrope_interleaved": True, "mrope_section": [3, 3, 2], "partial_rotary_factor": 0.25,
            "rope_theta": 10_000_000, "rope_type": "default",
        },
    }  # fmt: skip
    vision: dict[str, Any] = {
        "model_type": "qwen3_5", "deepstack_visual_indexes": [], "depth": vision_depth,
        "hidden_act": "gelu_pytorch_tanh", "hidden_size": hidden // 4 * 3, "in_channels": 3,
        "initializer_range": 0.02, "intermediate_size": 4 * hidden, "num_heads": 12,
        "num_position_embeddings": 2304, "out_hidden_size": hidden, "patch_size": 16,
        "spatial_merge_size": 2, "temporal_patch_size": 2,
    }  # fmt: skip
    return {
        "model_type": "qwen3_5", "text_config": text, "vision_config": vision,
        "tie_word_embeddings": tied, "image_token_id": vocab - 14, "video_token_id": vocab - 13,
        "vision_start_token_id": vocab - 17, "vision_end_token_id": vocab - 16,
    }  # fmt: skip


LARGE = (
    Made("qwen3, tied", _plain("qwen3", 151_936, 1024, 3072, 14, tied=True), "bfloat16"),
    Made("qwen3, untied", _plain("qwen3", 32_000, 768, 3072, 12, tied=False), "float32", 3),
    Made("qwen2, tied", _plain("qwen2", 151_936, 896, 4864, 24, tied=True), "bfloat16", 2),
    Made("qwen2, untied", _plain("qwen2", 64_000, 1024, 2816, 12, tied=False), "float16"),
    Made(
        "llama, untied",
        _plain("llama", 128_256, 1024, 4096, 12, tied=False, rope_scaling=_LLAMA_ROPE),
        "bfloat16",
        4,
    ),
    Made("llama, tied", _plain("llama", 32_000, 1024, 2816, 11, tied=True), "float32"),
    Made("qwen3_5, tied", _hybrid(151_936, 1024, 3584, 12, 12, tied=True), "bfloat16", 2),
    Made("qwen3_5, untied", _hybrid(48_000, 768, 2048, 8, 12, tied=False), "float32"),
)
SMALL = (
    Made("qwen3, untied", _plain("qwen3", 16_000, 512, 1024, 4, tied=False), "bfloat16", 2),
    Made("qwen2, tied", _plain("qwen2", 16_000, 512, 1024, 4, tied=True), "float16"),
    Made("qwen3_5, tied", _hybrid(16_000, 512, 1024, 4, 2, tied=True), "float32"),
)
