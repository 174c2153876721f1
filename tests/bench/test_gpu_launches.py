"""A decode step launches as little on a GPU as its layers are meant to."""

from __future__ import annotations

import pytest

from bench.gpu_launches import launches
from bench.shapes import QWEN3_5_9B, QWEN3_8B

# Token ids, positions, the scores and the draw.
_AROUND = 30


def test_between_its_products_a_layer_of_attention_takes_six_launches() -> None:
    counted = launches(QWEN3_8B, ours=False)

    kernels = {name: count for name, count in counted.items() if count > 30}
    assert kernels == {
        "aten::mm": 4 * 36 + 1, "_rms_norm": 2 * 36 + 1, "_turn": 36, "_attend_part": 36,
        "_add_parts": 36, "_silu_times": 36,
    }  # fmt: skip
    assert 0 < counted.total() - sum(kernels.values()) <= _AROUND


@pytest.mark.parametrize("ours", [False, True])
def test_a_layer_with_states_takes_four(ours: bool) -> None:
    counted = launches(QWEN3_5_9B, ours=ours)

    product = "multiply_part" if ours else "aten::mm"
    kernels = {product: 4 * 32 + 1, "_rms_norm": 2 * 32 + 1, "_silu_times": 32, "_delta_step": 24}
    assert {name: count for name, count in counted.items() if count in kernels.values()} == kernels
    # A gate on what attention gives is two of torch's; ours are added up where they are in parts.
    attention = 8 * (3 + 2) + (counted["add_parts"] if ours else 0)
    assert 0 < counted.total() - sum(kernels.values()) - attention <= _AROUND
