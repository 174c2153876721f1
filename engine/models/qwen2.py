"""Qwen2 and Qwen2.5, dense: the plain decoder with biases on query, key and value.

Field meanings follow the published Qwen2.5 configs.
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
    fields.expect("use_sliding_window", False, None)
    fields.expect("use_mrope", False, None)
    # The biases are no field of this family's: these three always have one, the output never.
    config = take_plain_config(fields, qkv_bias=True)
    # Sizes of the window that is not used.
    fields.done("max_window_layers", "sliding_window")
    return config


QWEN2 = Architecture(parse_config, PlainModel, plain_weight_names, without_plain_head)
