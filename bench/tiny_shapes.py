"""The published architectures at a size for trials of what works with them."""

from __future__ import annotations

import dataclasses

from .shapes import Shape

FIRST_MARK = 1000
_SMALL = {
    "bos_token_id": FIRST_MARK,
    "eos_token_id": FIRST_MARK,
    "head_dim": 32,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 4,
    "vocab_size": 1088,
}
_LINEAR = {
    "layer_types": ["linear_attention"] * 3 + ["full_attention"],
    "linear_key_head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_value_head_dim": 16,
    "rope_parameters": {
        "mrope_interleaved": True,
        "mrope_section": [2, 1, 1],
        "partial_rotary_factor": 0.25,
        "rope_theta": 10000,
        "rope_type": "default",
    },
}


def tiny(shape: Shape) -> Shape:
    """The same architecture, its tokenizer included, at a size that loads at once."""
    more = _LINEAR if "layer_types" in shape.config else {}
    config = {**shape.config, **_SMALL, **more}
    return dataclasses.replace(shape, config=config, first_mark=FIRST_MARK)
