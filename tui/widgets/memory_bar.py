"""A device's memory as one bar: weights, cache, the rest of the models, other programs, free.

Each has a sign of its own beside its colour. Pure.
"""

from __future__ import annotations

from itertools import pairwise

from rich.text import Text

from cortex.peer.onlooker.details import DeviceDetail

from ..look import Look

_SIGNS = ("█▓▒▚░", "#=+x.")


def memory_bar(device: DeviceDetail, look: Look, num_cells: int) -> Text:
    signs, tones = _SIGNS[look.is_ascii], look.tones
    styles = (tones.calm, tones.second, tones.third, tones.worth_a_look, "dim")
    bar = Text(no_wrap=True)
    for sign, style, cells in zip(signs, styles, _cells(device, num_cells), strict=True):
        bar.append(sign * cells, style=style)
    return bar


def legend(look: Look) -> Text:
    """What the signs of the bar stand for."""
    signs, tones = _SIGNS[look.is_ascii], look.tones
    styles = (tones.calm, tones.second, tones.third, tones.worth_a_look, "dim")
    names = ("weights", "cache", "image, states, work", "others, or kept back", "free")
    line = Text(no_wrap=True)
    for sign, style, name in zip(signs, styles, names, strict=True):
        line.append(sign, style=style).append(f" {name}  ")
    return line


def _cells(device: DeviceDetail, num_cells: int) -> tuple[int, ...]:
    """How many each has: ends are rounded, so that all of them are used, and no more."""
    weights, cache, rest = 0, 0, 0
    for model in device.models:
        for part in model.parts:
            match part.what:
                case "weights":
                    weights += part.num_bytes
                case "cache":
                    cache += part.num_bytes
                case _:
                    rest += part.num_bytes
    of_bytes = max(device.memory_bytes, 1)
    ends, end_bytes = [0], 0
    for num_bytes in (weights, cache, rest, device.foreign_bytes):
        end_bytes = min(end_bytes + num_bytes, of_bytes)
        ends.append(round(end_bytes / of_bytes * num_cells))
    return *(after - before for before, after in pairwise(ends)), num_cells - ends[-1]
