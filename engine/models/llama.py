"""Llama 3: the plain decoder with nothing added, and its own way to longer contexts.

Field meanings follow the published Llama 3.1 and 3.2 configs.
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
    fields.expect("mlp_bias", False, None)
    fields.expect("pretraining_tp", 1, None)
    config = take_plain_config(fields)
    fields.done()
    return config


LLAMA = Architecture(parse_config, PlainModel, plain_weight_names, without_plain_head)
