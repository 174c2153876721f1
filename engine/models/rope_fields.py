"""Rotary settings as configs spell them, old and new, for every architecture."""

from __future__ import annotations

from dataclasses import replace

from ..errors import ModelInvalid
from ..layers.rotary import Llama3Scaling, RopeConfig, Yarn
from .fields import ConfigFields


def read_rope(fields: ConfigFields, head_dim: int) -> RopeConfig:
    """One position a token, all of a head's dimensions rotating."""
    if head_dim % 2:
        fields.refuse("head_dim", head_dim)
    rope = open_rope(fields)
    config = RopeConfig(rope.take_number("rope_theta"), head_dim)
    return finish_rope(rope, config)


def open_rope(fields: ConfigFields) -> ConfigFields:
    """The settings as one object: `rope_parameters`, or `rope_theta` beside `rope_scaling`."""
    old_theta = fields.take("rope_theta", None)
    old_scaling = fields.take_object("rope_scaling", None)
    raw = fields.take_object("rope_parameters", None)
    if raw is not None and old_scaling is not None and raw != old_scaling:
        raise ModelInvalid(
            f"{fields.where} has both rope_parameters and rope_scaling, and they differ.",
            "put everything into rope_parameters and remove rope_scaling.",
        )
    theta = {} if old_theta is None else {"rope_theta": old_theta}
    given = raw or old_scaling or {}
    return ConfigFields(f"{fields.where}: rope_parameters", {**theta, **given})


def finish_rope(rope: ConfigFields, config: RopeConfig) -> RopeConfig:
    """The config with the scaling that is asked for. Refuses whatever else is left."""
    kind = rope.take("rope_type", "default")
    kind = rope.take("type", kind)
    scaling: Yarn | Llama3Scaling | None = None
    if kind == "yarn":
        scaling = Yarn(
            factor=rope.take_number("factor"),
            original_positions=rope.take_int("original_max_position_embeddings"),
            beta_fast=rope.take_number("beta_fast", 32.0),
            beta_slow=rope.take_number("beta_slow", 1.0),
        )
    elif kind == "llama3":
        scaling = _llama3(rope)
    elif kind != "default":
        rope.refuse("rope_type", kind)
    rope.done()
    return replace(config, scaling=scaling)


def _llama3(rope: ConfigFields) -> Llama3Scaling:
    scaling = Llama3Scaling(
        factor=rope.take_number("factor"),
        low_frequency_factor=rope.take_number("low_freq_factor"),
        high_frequency_factor=rope.take_number("high_freq_factor"),
        original_positions=rope.take_int("original_max_position_embeddings"),
    )
    if scaling.high_frequency_factor <= scaling.low_frequency_factor:
        rope.refuse("high_freq_factor", scaling.high_frequency_factor)
    return scaling
