"""Which architecture a model folder holds, and how to build it.

The one place that knows which architectures there are. There is one so far, so nothing is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ..weights import OnProgress, WeightNames, load_weights
from .qwen3_5 import Qwen35
from .qwen3_5_config import read_config


@dataclass(frozen=True, slots=True)
class LoadedModel:
    model: Qwen35
    weight_bytes: int


def load_model(
    model_dir: Path,
    dtype: torch.dtype,
    device: torch.device,
    on_progress: OnProgress = lambda done, total: None,
) -> LoadedModel:
    """The model of a folder in the published layout, its weights in `dtype` on `device`.

    Raises ModelInvalid for a config or a tensor that cannot be served exactly.
    """
    config = read_config(model_dir)
    with torch.device("meta"):
        model = Qwen35(config)
    names = WeightNames(
        parameter=lambda name: _qwen3_5_parameter(
            name, tied=config.text.tied_embeddings, has_vision=config.vision is not None
        ),
        keep_float32=("linear_attn.A_log", "linear_attn.norm.weight"),
    )
    weight_bytes = load_weights(model, model_dir, names, dtype, device, on_progress)
    model.eval()
    return LoadedModel(model, weight_bytes)


def _qwen3_5_parameter(name: str, *, tied: bool, has_vision: bool) -> str | None:
    """Published tensor name to parameter name: `model.language_model.`, or `model.` when flat."""
    if name.startswith("mtp."):
        return None  # the draft head: nothing here drafts
    if name == "lm_head.weight":
        return None if tied else name
    if name.startswith("model.visual."):
        return name.removeprefix("model.") if has_vision else None
    if name.startswith("model.language_model."):
        return name.removeprefix("model.")
    return "language_model." + name.removeprefix("model.")
