"""What a qwen3_5 config.json says, as frozen values; what it may say that we cannot do, refused.

Every field is either read here, known to be without effect on inference, or an error that names
it: a model is served exactly or not at all. Field meanings follow the published Qwen3.5 configs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, cast

from ..errors import ModelInvalid
from ..layers.rotary import RopeConfig
from ..model_files import read_json_object

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
    tied_embeddings: bool


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
    """`vision` is None for text-only checkpoints."""

    text: TextConfig
    vision: VisionConfig | None
    image_token_id: int | None
    video_token_id: int | None


# Without effect on inference: training, bookkeeping, and defaults other libraries write out.
_WITHOUT_EFFECT = {
    "architectures", "attention_dropout", "bos_token_id", "eos_token_id", "pad_token_id",
    "sep_token_id", "dtype", "torch_dtype", "initializer_range", "use_cache", "model_type",
    "transformers_version", "mamba_ssm_dtype", "mtp_num_hidden_layers",
    "mtp_use_dedicated_embeddings", "output_gate_type", "full_attention_interval",
    "_name_or_path", "chunk_size_feed_forward", "id2label", "label2id", "is_encoder_decoder",
    "output_attentions", "output_hidden_states", "problem_type", "return_dict",
    "vision_start_token_id", "vision_end_token_id", "num_hidden_layers", "language_model_only",
    "max_position_embeddings",  # whoever offers the model reads its context from there
}  # fmt: skip
# Fields that only have one value we can serve.
_FIXED: dict[str, tuple[Any, ...]] = {
    "attention_bias": (False, None),
    "attn_output_gate": (True,),
    "mlp_only_layers": ([], None),
    "deepstack_visual_indexes": ([], None),
    "in_channels": (3,),
}


class _Fields:
    """One JSON object of a config: every field is taken, and what remains is an error."""

    def __init__(self, where: str, fields: Mapping[str, Any]) -> None:
        self.where = where
        self._fields = dict(fields)

    def take(self, name: str, *default: Any) -> Any:
        if self._fields.get(name) is None and default:
            self._fields.pop(name, None)
            return default[0]
        if name not in self._fields:
            raise ModelInvalid(f"{self.where} has no field {name!r}.")
        return self._fields.pop(name)

    def take_int(self, name: str, *default: int) -> int:
        value = self.take(name, *default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            self.refuse(name, value)
        return value

    def take_number(self, name: str, *default: float) -> float:
        value = self.take(name, *default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
            self.refuse(name, value)
        return float(value)

    def take_object(self, name: str, *default: Any) -> dict[str, Any] | None:
        value = self.take(name, *default)
        if value is not None and not isinstance(value, dict):
            self.refuse(name, value)
        return cast("dict[str, Any] | None", value)

    def take_list(self, name: str, *default: Any) -> list[Any] | None:
        value = self.take(name, *default)
        if value is not None and not isinstance(value, list):
            self.refuse(name, value)
        return cast("list[Any] | None", value)

    def take_id(self, name: str, vocab_size: int) -> int | None:
        value = self.take(name, None)
        if value is not None and not (type(value) is int and 0 <= value < vocab_size):
            self.refuse(name, value)
        return value

    def refuse(self, name: str, value: Any) -> NoReturn:
        raise ModelInvalid(
            f"{self.where}: {name} = {json.dumps(value)} is not something this engine can serve.",
            "cortex serves a model exactly or not at all; use a checkpoint without it.",
        )

    def expect(self, name: str, *allowed: Any) -> None:
        value = self._fields.pop(name, allowed[0])
        if value not in allowed:
            self.refuse(name, value)

    def done(self) -> None:
        for name, allowed in _FIXED.items():
            if name in self._fields:
                self.expect(name, *allowed)
        for name, value in self._fields.items():
            if name not in _WITHOUT_EFFECT:
                self.refuse(name, value)


def read_config(model_dir: Path) -> Qwen35Config:
    """The config of a model folder.

    Raises ModelInvalid naming the field that is missing, malformed or not servable.
    """
    path = model_dir / "config.json"
    return parse_config(read_json_object(path), where=str(path))


def parse_config(raw: Mapping[str, Any], where: str = "config.json") -> Qwen35Config:
    """As read_config, from the JSON object."""
    model_type = raw.get("model_type")
    if model_type == "qwen3_5_text":
        text = _text_config(_Fields(where, raw), tied=bool(raw.get("tie_word_embeddings")))
        return Qwen35Config(text, None, None, None)
    if model_type != "qwen3_5":
        raise ModelInvalid(
            f"{where}: model_type {model_type!r} is not one this engine knows.",
            "known: qwen3_5, qwen3_5_text.",
        )
    top = _Fields(where, raw)
    tied = bool(top.take("tie_word_embeddings", False))
    text_raw = top.take_object("text_config") or {}
    text = _text_config(_Fields(f"{where}: text_config", text_raw), tied=tied)
    vision_raw = top.take_object("vision_config", None)
    vision = _vision_config(_Fields(f"{where}: vision_config", vision_raw)) if vision_raw else None
    config = Qwen35Config(
        text,
        vision,
        top.take_id("image_token_id", text.vocab_size),
        top.take_id("video_token_id", text.vocab_size),
    )
    top.done()
    if vision and config.image_token_id is None:
        raise ModelInvalid(f"{where} has a vision_config but no image_token_id.")
    if vision and vision.out_hidden_size != text.hidden_size:
        raise ModelInvalid(
            f"{where}: vision_config.out_hidden_size {vision.out_hidden_size} is not "
            f"text_config.hidden_size {text.hidden_size}."
        )
    return config


def _text_config(fields: _Fields, *, tied: bool) -> TextConfig:
    num_layers = fields.take_int("num_hidden_layers")
    head_dim = fields.take_int("head_dim")
    fields.expect("hidden_act", "silu")
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
        tied_embeddings=tied,
    )
    fields.done()
    for name, heads, groups in (
        ("num_attention_heads", config.num_heads, config.num_kv_heads),
        ("linear_num_value_heads", config.linear_value_heads, config.linear_key_heads),
    ):
        if heads % groups:
            raise ModelInvalid(f"{fields.where}: {name} = {heads} is no multiple of {groups}.")
    return config


def _layer_types(fields: _Fields, num_layers: int) -> tuple[LayerType, ...]:
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


def _rope_config(fields: _Fields, head_dim: int) -> RopeConfig:
    """Both spellings: `rope_parameters`, or `rope_theta` and `rope_scaling` beside each other."""
    outer_factor = fields.take_number("partial_rotary_factor", 0.25)
    old_theta = fields.take("rope_theta", None)
    old_scaling = fields.take_object("rope_scaling", None)
    raw = fields.take_object("rope_parameters", None)
    if raw is not None and old_scaling is not None and raw != old_scaling:
        raise ModelInvalid(
            f"{fields.where} has both rope_parameters and rope_scaling, and they differ.",
            "put everything into rope_parameters and remove rope_scaling.",
        )
    rope = _Fields(f"{fields.where}: rope_parameters", raw or old_scaling or {})
    theta = rope.take_number("rope_theta", *([] if old_theta is None else [old_theta]))
    rope.expect("mrope_interleaved", True)
    kind = rope.take("rope_type", "default")
    kind = rope.take("type", kind)
    rotary_dim = int(head_dim * rope.take_number("partial_rotary_factor", outer_factor))
    section = rope.take_list("mrope_section", [11, 11, 10]) or []
    if len(section) != 3 or any(type(n) is not int for n in section) or rotary_dim % 2:
        rope.refuse("mrope_section", section)
    config = RopeConfig(theta, rotary_dim, (section[0], section[1], section[2]))
    if kind == "yarn":
        config = RopeConfig(
            config.theta,
            rotary_dim,
            config.mrope_section,
            yarn_factor=rope.take_number("factor"),
            yarn_original_positions=rope.take_int("original_max_position_embeddings"),
            yarn_beta_fast=rope.take_number("beta_fast", 32.0),
            yarn_beta_slow=rope.take_number("beta_slow", 1.0),
        )
    elif kind != "default":
        rope.refuse("rope_type", kind)
    rope.done()
    return config


def _vision_config(fields: _Fields) -> VisionConfig:
    fields.expect("hidden_act", "gelu_pytorch_tanh")
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
    fields.done()
    if int(config.num_positions**0.5) ** 2 != config.num_positions:
        fields.refuse("num_position_embeddings", config.num_positions)
    return config
