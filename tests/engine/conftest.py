"""The golden folders, a loaded golden model, and few threads: two cores run everything."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cortex.engine.models.registry import load_model
from cortex.engine.served import ServedModel
from cortex.engine.tokenizer import Tokenizer

# One: tiny models gain nothing from two, and lose much where two fight over the cores.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def golden() -> Path:
    return Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def served(golden: Path) -> ServedModel:
    """The small vision checkpoint in float32, ready to be asked."""
    cpu = torch.device("cpu")
    folder = golden / "qwen3_5"
    num_tokens = Tokenizer(folder / "tokenizer.json").vocab_size
    return ServedModel(load_model(folder, torch.float32, cpu), num_tokens, cpu)
