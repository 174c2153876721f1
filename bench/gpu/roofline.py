"""The least time that a model's steps can take on a device, from its shape and two ceilings. Pure.

A decode step reads every weight but the rows of the embedding that nobody looks up, the keys and
values of all its sequences, and their recurrent states, which it also writes. A prefill multiplies
every token with every weight, and each query with all keys before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from ..make_checkpoint import Dtype, num_bytes
from ..shapes import Shape, tensors_of

_STATE_BYTES_PER_VALUE = 4  # recurrent states are float32 whatever the weights are
_ACTIVATION_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
_EMBEDDING = "model.embed_tokens.weight"
_HEAD = "lm_head.weight"


@dataclass(frozen=True, slots=True)
class Work:
    """What a model reads and multiplies. `attention_flops` are those of one query and one key, in
    all layers; `token_flops` those of one token, without the head.
    """

    weight_bytes: int
    token_bytes: int
    state_bytes: int
    token_flops: int
    attention_flops: int


def work_of(shape: Shape, dtype: Dtype) -> Work:
    tensors = {tensor.name: tensor for tensor in tensors_of(shape.config)}
    read = [
        tensor for name, tensor in tensors.items() if name != _EMBEDDING or _HEAD not in tensors
    ]
    multiplied = sum(
        prod(tensor.shape)
        for name, tensor in tensors.items()
        if len(tensor.shape) == 2 and name not in (_EMBEDDING, _HEAD)
    )
    config, value_bytes = shape.config, _ACTIVATION_BYTES[dtype]
    kinds = config.get("layer_types") or ["full_attention"] * config["num_hidden_layers"]
    attending = kinds.count("full_attention")
    heads, keys, dim = (
        config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"],
    )  # fmt: skip
    return Work(
        weight_bytes=sum(num_bytes(tensor, dtype) for tensor in read),
        token_bytes=attending * 2 * keys * dim * value_bytes,
        state_bytes=kinds.count("linear_attention") * _layer_state_bytes(config, value_bytes),
        token_flops=2 * multiplied,
        attention_flops=attending * 4 * heads * dim,
    )


def _layer_state_bytes(config: Mapping[str, Any], value_bytes: int) -> int:
    if "linear_num_value_heads" not in config:
        return 0
    values = config["linear_num_value_heads"] * config["linear_value_head_dim"]
    keys = config["linear_num_key_heads"] * config["linear_key_head_dim"]
    convolved = (2 * keys + values) * (config["linear_conv_kernel_dim"] - 1)
    recurrent = values * config["linear_key_head_dim"]
    return recurrent * _STATE_BYTES_PER_VALUE + convolved * value_bytes


def decode_tokens_per_s(
    work: Work, concurrency: int, context_tokens: int, bytes_per_s: float
) -> float:
    """The most tokens a second of so many sequences that each hold so much context."""
    each_bytes = context_tokens * work.token_bytes + 2 * work.state_bytes
    step_bytes = work.weight_bytes + concurrency * each_bytes
    return concurrency * bytes_per_s / step_bytes


def prefill_tokens_per_s(work: Work, prompt_tokens: int, flops_per_s: float) -> float:
    """The most tokens a second of one prompt, each of which sees half of it on the average."""
    attention = work.attention_flops * prompt_tokens / 2
    return flops_per_s / (work.token_flops + attention)
