"""Numbers of tokens, short enough for a title. Pure."""

from __future__ import annotations


def tokens(number: int) -> str:
    """87, 3.1k, 256k, 1.0M: thousands of context windows are of 1,024."""
    if number < 1000:
        return str(number)
    if number < 1024 * 1000:
        thousands = number / 1024
        return f"{thousands:.1f}k" if thousands < 10 else f"{thousands:.0f}k"
    return f"{number / 1024**2:.1f}M"
