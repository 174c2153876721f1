"""What a qwen3_5 config.json says, as frozen values; what it may say that we cannot do, refused.

Field meanings follow the published Qwen3.5 configs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import ModelInvalid
from ..layers.rotary import RopeConfig
from .base import Head
from .fields import ConfigFields
from .rope_fields import finish_rope, open_rope

LayerType = Literal["linear_attention", "full_attention"]


@dataclass(frozen=True, slots=True)
class TextConfig:
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layer_types: tuple[LayerType, ...]
    num_heads: int
    num_kv_heads: int
    head_dim: int
    linear_key_heads: int
    linear_value_heads: int
    linear_key_dim: int
    linear_value_dim: int
    conv_kernel: int
    rms_norm_eps: float
    rope: RopeConfig
    head: Head


@dataclass(frozen=True, slots=True)
class VisionConfig:
    depth: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    patch_size: int
    temporal_patch_size: int
    merge_size: int
    out_hidden_size: int
    num_positions: int


@dataclass(frozen=True, slots=True)
class Qwen35Config:
    """`vision` is None for text-only checkpoints. `has_draft_head` is not config.json's to say."""

    text: TextConfig
    vision: VisionConfig | None
    image_token_id: int | None
    video_token_id: int | None
    has_draft_head: bool = False


# Of no effect here: bookkeeping, the draft head (there is one where its weights are), and what
# follows from other fields.
_WITHOUT_EFFECT = (
    "full_attention_interval", "language_model_only", "mamba_ssm_dtype", "mtp_num_hidden_layers",
    "mtp_use_dedicated_embeddings", "num_hidden_layers", "output_gate_type",
    "vision_end_token_id", "vision_start_token_id",
)  # fmt: skip


def parse_config(raw: Mapping[str, Any], where: str = "config.json") -> Qwen35Config:
    """The config from its JSON object: nested, or flat (model_type qwen3_5_text).

    Raises ModelInvalid naming the field that is missing, malformed or not servable.
    """
    top = ConfigFields(where, raw)
    if raw.get("model_type") == "qwen3_5_text":
        text = _text_config(top, tied=top.take_flag("tie_word_embeddings", False))
        return Qwen35Config(text, None, None, None)
    tied = top.take_flag("tie_word_embeddings", False)
    text_raw = top.take_object("text_config") or {}
    text = _text_config(ConfigFields(f"{where}: text_config", text_raw), tied=tied)
    vision_raw = top.take_object("vision_config", None)
    vision = (
        _vision_config(ConfigFields(f"{where}: vision_config", vision_raw)) if vision_raw else None
    )
    config = Qwen35Config(
        text,
        vision,
        top.take_id("image_token_id", text.vocab_size),
        top.take_id("video_token_id", text.vocab_size),
    )
    top.done(*_WITHOUT_EFFECT)
    if vision and config.image_token_id is None:
        raise ModelInvalid(f"{where} has a vision_config but no image_token_id.")
    if vision and vision.out_hidden_size != text.hidden_size:
        raise ModelInvalid(
            f"{where}: vision_config.out_hidden_size {vision.out_hidden_size} is not "
            f"text_config.hidden_size {text.hidden_size}."
        )
    return config


def _text_config(fields: ConfigFields, *, tied: bool) -> TextConfig:
    num_layers = fields.take_int("num_hidden_layers")
    head_dim = fields.take_int("head_dim")
    fields.expect("hidden_act", "silu")
    fields.expect("attention_bias", False, None)
    fields.expect("attn_output_gate", True)
    fields.expect("mlp_only_layers", [], None)
    fields.take("tie_word_embeddings", tied)
    config = TextConfig(
        vocab_size=fields.take_int("vocab_size"),
        hidden_size=fields.take_int("hidden_size"),
        intermediate_size=fields.take_int("intermediate_size"),
        layer_types=_layer_types(fields, num_layers),
        num_heads=fields.take_int("num_attention_heads"),
        num_kv_heads=fields.take_int("num_key_value_heads"),
        head_dim=head_dim,
        linear_key_heads=fields.take_int("linear_num_key_heads"),
        linear_value_heads=fields.take_int("linear_num_value_heads"),
        linear_key_dim=fields.take_int("linear_key_head_dim"),
        linear_value_dim=fields.take_int("linear_value_head_dim"),
        conv_kernel=fields.take_int("linear_conv_kernel_dim"),
        rms_norm_eps=fields.take_number("rms_norm_eps"),
        rope=_rope_config(fields, head_dim),
        head="tied" if tied else "own",
    )
    fields.done(*_WITHOUT_EFFECT)
    for name, heads, groups in (
        ("num_attention_heads", config.num_heads, config.num_kv_heads),
        ("linear_num_value_heads", config.linear_value_heads, config.linear_key_heads),
    ):
        if heads % groups:
            raise ModelInvalid(f"{fields.where}: {name} = {heads} is no multiple of {groups}.")
    return config


def _layer_types(fields: ConfigFields, num_layers: int) -> tuple[LayerType, ...]:
    """`layer_types` wins; without it every interval-th layer is a full-attention layer."""
    interval = fields.take_int("full_attention_interval", 4)
    types = fields.take_list("layer_types", None)
    if types is None:
        full = [(i + 1) % interval == 0 for i in range(num_layers)]
        return tuple("full_attention" if f else "linear_attention" for f in full)
    if len(types) != num_layers or any(
        t not in ("linear_attention", "full_attention") for t in types
    ):
        fields.refuse("layer_types", types)
    return tuple(types)


def _rope_config(fields: ConfigFields, head_dim: int) -> RopeConfig:
    outer_factor = fields.take_number("partial_rotary_factor", 0.25)
    rope = open_rope(fields)
    rope.expect("mrope_interleaved", True)
    factor = rope.take_number("partial_rotary_factor", outer_factor)
    rotary_dim = int(head_dim * factor)
    if not 0 < rotary_dim <= head_dim:
        rope.refuse("partial_rotary_factor", factor)
    section = rope.take_list("mrope_section", [11, 11, 10]) or []
    if len(section) != 3 or any(type(n) is not int for n in section) or rotary_dim % 2:
        rope.refuse("mrope_section", section)
    theta = rope.take_number("rope_theta")
    sections = (section[0], section[1], section[2])
    return finish_rope(rope, RopeConfig(theta, rotary_dim, sections))


def _vision_config(fields: ConfigFields) -> VisionConfig:
    fields.expect("hidden_act", "gelu_pytorch_tanh")
    fields.expect("deepstack_visual_indexes", [], None)
    fields.expect("in_channels", 3)
    config = VisionConfig(
        depth=fields.take_int("depth"),
        hidden_size=fields.take_int("hidden_size"),
        intermediate_size=fields.take_int("intermediate_size"),
        num_heads=fields.take_int("num_heads"),
        patch_size=fields.take_int("patch_size"),
        temporal_patch_size=fields.take_int("temporal_patch_size"),
        merge_size=fields.take_int("spatial_merge_size"),
        out_hidden_size=fields.take_int("out_hidden_size"),
        num_positions=fields.take_int("num_position_embeddings"),
    )
    fields.done(*_WITHOUT_EFFECT)
    if int(config.num_positions**0.5) ** 2 != config.num_positions:
        fields.refuse("num_position_embeddings", config.num_positions)
    return config
