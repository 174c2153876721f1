"""A size in bytes as people type it: 8GiB, 500 MB, 1.5gib, or the bytes themselves. Pure."""

from __future__ import annotations

import re

from .errors import UsageProblem

_UNITS = {
    "": 1,
    "b": 1,
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", start=1)},
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", start=1)},
}
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([a-z]*)", re.IGNORECASE)
_EXAMPLES = "write it like 8GiB, 500MiB, 16GB or 8589934592."
# Less was meant in another unit: nothing runs in it.
_SMALLEST_BYTES = 1024**2


def parse_size(text: str) -> int:
    """The number of bytes.

    Raises UsageProblem for what is no size, or one that no engine could run in.
    """
    from fractions import Fraction

    found = _SIZE.fullmatch(text.strip())
    if found is None or found[2].lower() not in _UNITS:
        raise UsageProblem(f"{text!r} is no size.", _EXAMPLES)
    size_bytes = int(Fraction(found[1]) * _UNITS[found[2].lower()])
    if size_bytes < _SMALLEST_BYTES:
        raise UsageProblem(f"{text!r} is {size_bytes} bytes, too little for anything.", _EXAMPLES)
    return size_bytes
