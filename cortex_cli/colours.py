"""Where there are colours: the one place that decides it. Pure.

--no-color comes before NO_COLOR, that before FORCE_COLOR, and that before whether a terminal is
there which knows of colours. A variable that is set counts, whatever it is set to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Colour = Literal["red", "green", "yellow", "cyan"]
_CODES: Mapping[Colour, int] = {"red": 31, "green": 32, "yellow": 33, "cyan": 36}
_DEFAULT_CODE = 39


def colour_wish(environ: Mapping[str, str]) -> bool | None:
    """None where each stream is coloured that is a terminal."""
    if "NO_COLOR" in environ:
        return False
    if "FORCE_COLOR" in environ:
        return True
    return None if moves_cursor(environ) else False


def moves_cursor(environ: Mapping[str, str]) -> bool:
    """Whether a terminal there would be more than paper."""
    return environ.get("TERM") != "dumb"


def painted(text: str, colour: Colour) -> str:
    return f"\x1b[{_CODES[colour]}m{text}\x1b[{_DEFAULT_CODE}m"
