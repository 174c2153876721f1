"""Models in as few words as a list has room for. Pure."""

from __future__ import annotations

from rich.cells import set_cell_size

from cortex.peer.types import ModelInfo
from cortex.peer.units import tokens


def model_words(model: ModelInfo, width: int) -> str:
    """Who could answer: the name in so many cells, the context, what it sees, where it is."""
    words = [set_cell_size(model.id, width), f"{tokens(model.context_length):>5} context"]
    words.append("pictures" if model.sees_images else "text    ")
    states = [where.state for where in model.where]
    words += [state for state in ("warm", "loading", "cold") if state in states][:1]
    return "  ".join(words)
