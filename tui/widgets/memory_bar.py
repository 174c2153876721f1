"""A device's memory as one bar: weights, cache, the rest of the models, other programs, free.

Each has a sign of its own beside its colour. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from rich.text import Text

from cortex.peer.onlooker.details import DeviceDetail

from ..look import Look

_SIGNS = ("█▓▒▚░", "#=+x.")
_NAMES = ("weights", "cache", "image, states, work", "others, or kept back", "free")


def memory_bar(device: DeviceDetail, look: Look, num_cells: int) -> Text:
    bar = Text(no_wrap=True)
    for (sign, style), cells in zip(_drawn(look), _cells(device, num_cells), strict=True):
        bar.append(sign * cells, style=style)
    return bar


def legend(look: Look) -> Text:
    """What the signs of the bar stand for."""
    line = Text(no_wrap=True)
    for (sign, style), name in zip(_drawn(look), _NAMES, strict=True):
        line.append(sign, style=style).append(f" {name}  ")
    return line


def _drawn(look: Look) -> Iterator[tuple[str, str]]:
    """Of each thing its sign and its style."""
    tones = look.tones
    styles = (tones.calm, tones.second, tones.third, tones.worth_a_look, "dim")
    return zip(_SIGNS[look.is_ascii], styles, strict=True)


def _cells(device: DeviceDetail, num_cells: int) -> tuple[int, ...]:
    """How many each has: ends are rounded, so that all of them are used, and no more."""
    used_bytes = Counter[str]()
    for part in (part for model in device.models for part in model.parts):
        used_bytes[part.what] += part.num_bytes
    weights, cache = used_bytes.pop("weights", 0), used_bytes.pop("cache", 0)
    of_bytes = max(device.memory_bytes, 1)
    ends, end_bytes = [0], 0
    for num_bytes in (weights, cache, used_bytes.total(), device.foreign_bytes):
        end_bytes = min(end_bytes + num_bytes, of_bytes)
        ends.append(round(end_bytes / of_bytes * num_cells))
    return *(after - before for before, after in pairwise(ends)), num_cells - ends[-1]
