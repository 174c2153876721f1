"""Qwen3, dense: the plain decoder with a norm on every head's query and key.

Field meanings follow the published Qwen3 configs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import Architecture
from .fields import ConfigFields
from .plain_decoder import (
    PlainConfig,
    PlainModel,
    plain_weight_names,
    take_plain_config,
    without_plain_head,
)


def parse_config(raw: Mapping[str, Any], where: str = "config.json") -> PlainConfig:
    """Raises ModelInvalid naming the field that is missing, malformed or not servable."""
    fields = ConfigFields(where, raw)
    fields.expect("attention_bias", False, None)
    fields.expect("use_sliding_window", False, None)
    config = take_plain_config(fields, head_dim=fields.take_int("head_dim"), has_head_norms=True)
    # Sizes of the window that is not used.
    fields.done("max_window_layers", "sliding_window")
    return config


QWEN3 = Architecture(parse_config, PlainModel, plain_weight_names, without_plain_head)
