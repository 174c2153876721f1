"""A time as people type it: 1s, 500ms, 2m, or the seconds themselves. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UsageProblem

if TYPE_CHECKING:
    from .settings.kinds import Kind

_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,3})?")


def parse_duration(low_s: float, high_s: float) -> Callable[[str | float], float]:
    """A parser of options: gives seconds, raises UsageProblem for what is no time, or too much."""

    def parse(text: str | float) -> float:
        from .settings.kinds import duration

        return _read(duration(low_s, high_s), text)

    return parse


def parse_as_set(section: str, key: str) -> Callable[[str | float], Any]:
    """A parser of an option that is a time as cortex.toml's setting of that name reads it."""

    def parse(text: str | float) -> Any:
        from .settings.sections import SECTIONS

        return _read(SECTIONS[section][key].kind, text)

    return parse


def _read(kind: Kind, text: str | float) -> Any:
    from .settings.kinds import BadValue

    # An option's default comes this way as well, in seconds.
    plain = str(text)
    try:
        return kind.read(float(plain) if _NUMBER.fullmatch(plain) else plain, Path())
    except BadValue as error:
        raise UsageProblem(f"{text!r} is not {error.expected}.") from None
