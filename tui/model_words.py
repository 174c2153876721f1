"""Models and numbers of tokens, in as few words as a title or a list has room for. Pure."""

from __future__ import annotations

from cortex.peer.types import ModelInfo


def tokens(number: int) -> str:
    """87, 3.1k, 256k, 1.0M: thousands of context windows are of 1,024."""
    if number < 1000:
        return str(number)
    if number < 1024 * 1000:
        thousands = number / 1024
        return f"{thousands:.1f}k" if thousands < 10 else f"{thousands:.0f}k"
    return f"{number / 1024**2:.1f}M"


def model_words(model: ModelInfo, width: int) -> str:
    """Who could answer: the name in so many cells, the context, what it sees, where it is."""
    words = [f"{model.id:<{width}}", f"{tokens(model.context_length):>5} context"]
    words.append("pictures" if model.sees_images else "text    ")
    states = [where.state for where in model.where]
    words += [state for state in ("warm", "loading", "cold") if state in states][:1]
    return "  ".join(words)
