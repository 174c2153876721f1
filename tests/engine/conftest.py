"""The golden folders, a loaded golden model, and few threads: two cores run everything."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cortex.engine.models.base import ServableModel
from cortex.engine.models.registry import load_model

# One: tiny models gain nothing from two, and lose much where two fight over the cores.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def golden() -> Path:
    return Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def golden_model(golden: Path) -> ServableModel:
    """The small hybrid vision checkpoint in float32."""
    return load_model(golden / "qwen3_5", torch.float32, torch.device("cpu")).model


@pytest.fixture(scope="session")
def dense_model(golden: Path) -> ServableModel:
    """The small checkpoint without linear attention in float32."""
    return load_model(golden / "qwen3", torch.float32, torch.device("cpu")).model
