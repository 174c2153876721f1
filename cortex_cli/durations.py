"""A time as people type it: 1s, 500ms, 2m, or the seconds themselves. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from .errors import UsageProblem

_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,3})?")


def parse_duration(low_s: float, high_s: float) -> Callable[[str | float], float]:
    """A parser of options: gives seconds, raises UsageProblem for what is no time, or too much."""

    def parse(text: str | float) -> float:
        from .settings.kinds import BadValue, duration

        # An option's default comes this way as well, in seconds.
        plain = str(text)
        try:
            said = float(plain) if _NUMBER.fullmatch(plain) else plain
            return duration(low_s, high_s).read(said, Path())
        except BadValue as error:
            raise UsageProblem(f"{text!r} is not {error.expected}.") from None

    return parse
