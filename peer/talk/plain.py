"""What a model wrote, made safe for a terminal."""

from __future__ import annotations

import re

# C0 without tab and newline, DEL, and C1: what a terminal would obey instead of showing.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def without_controls(text: str) -> str:
    return _CONTROL.sub("", text)
