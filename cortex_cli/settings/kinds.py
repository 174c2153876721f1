"""The kinds of values that settings have: how one is read from TOML, and how it is shown.

A kind knows nothing of where its value stands or what it is for. What it refuses it says as what it
expected; whoever asked adds the file, the line and the key.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..errors import UsageProblem
from ..places import split_address
from ..sizes import parse_size

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*(ms|s|m|h)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_GPUS = re.compile(r"all|none|cpu|[0-9]{1,4}(,[0-9]{1,4})*")
# Desktop programs and extensions have schemes of their own.
_ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?|file://|\*"
)
_MOST = 2**31 - 1
_YEAR_S = 365 * 24 * 3600.0


class BadValue(Exception):
    """`expected` is what should stand there; a secret that stands there instead is not shown."""

    def __init__(self, expected: str, hint: str = "", *, is_secret: bool = False) -> None:
        super().__init__(expected)
        self.expected = expected
        self.hint = hint
        self.is_secret = is_secret


class Missing(BadValue):
    """What is named may be there another time."""


def _show(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Kind:
    """`read` takes what TOML holds and the file's folder, and raises BadValue.

    `show` is the other way: a value as it could stand in the file; `none` is how None does.
    """

    words: str
    read: Callable[[object, Path], Any]
    show: Callable[[Any], str] = _show
    none: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """A setting there is: its kind, and what it is for."""

    kind: Kind
    says: str


def taking(
    words: str, take: Callable[[Any, Path], Any], show: Callable[[Any], str] = _show, none: str = ""
) -> Kind:
    """What `take` gives. It raises ValueError, or whatever a value of another type makes it raise,
    for what is not such a thing.
    """

    def read(value: object, folder: Path) -> Any:
        try:
            return take(value, folder)
        # RuntimeError is what pathlib raises for the `~` of a user who is not there.
        except (ValueError, TypeError, UsageProblem, RuntimeError):
            raise BadValue(words) from None

    return Kind(words, read, show, none)


def text() -> Kind:
    return taking("a text", lambda value, _: _text(value))


def text_or_texts() -> Kind:
    """Several, of which one alone need be no list."""
    return taking(
        "a text or a list of texts",
        lambda value, _: [_text(value)] if isinstance(value, str) else _texts(value),
        lambda texts: _show(texts[0] if len(texts) == 1 else texts),
    )


def whole(low: int, high: int = _MOST) -> Kind:
    words = f"a whole number from {low}" + (f" to {high}" if high < _MOST else "")
    return taking(words, lambda value, _: _number(value, low, high))


def duration(low_s: float, high_s: float = 24 * 3600.0) -> Kind:
    """In seconds; a bare number is one of seconds."""
    words = f'a time such as "30s", "500ms" or "10m", {low_s:g} to {high_s:g} seconds'
    return taking(
        words, lambda value, _: _seconds(value, low_s, high_s), lambda seconds: f'"{seconds:g}s"'
    )


def duration_or_never(low_s: float, *, never: float | None) -> Kind:
    """A duration, or "never", which is read as that value."""
    timed, spelt = duration(low_s), '"never"'
    return taking(
        'a time such as "10m", or "never"',
        lambda value, _: never if value == "never" else _seconds(value, low_s, _YEAR_S),
        lambda value: spelt if value == never else timed.show(value),
        spelt if never is None else "",
    )


def size() -> Kind:
    words = 'a size such as "64MiB", 1 MiB or more'
    return taking(words, lambda value, _: parse_size(_digits(value)), _show_size)


def parsed(words: str, parse: Callable[[str], str]) -> Kind:
    """A text that an option of the command line reads too."""
    return taking(words, lambda value, _: parse(_text(value)))


def several(words: str, parse: Callable[[str], str]) -> Kind:
    """A list of such texts."""
    return taking(words, lambda value, _: [parse(one) for one in _texts(value)])


def switch() -> Kind:
    return taking("true or false", lambda value, _: _switch(value))


def opposite() -> Kind:
    """A switch whose option turns it off."""
    return taking("true or false", lambda value, _: not _switch(value), lambda off: _show(not off))


def where(parse: Callable[[str], str]) -> Kind:
    """True for every peer, or the names of some."""
    return taking(
        'true, false, or a list of names of peers such as ["beast"]',
        lambda value, _: value if isinstance(value, bool) else tuple(map(parse, _texts(value))),
    )


def numbers() -> Kind:
    """The numbers of devices."""
    return taking(
        "a list of numbers of devices such as [0, 1]",
        lambda value, _: tuple(_number(one, 0, 1023) for one in _list(value)),
    )


def choice(*words: str) -> Kind:
    expected = " or ".join(f'"{word}"' for word in words)
    return taking(expected, lambda value, _: words[words.index(value)])


def gpus() -> Kind:
    return taking(
        '"all", "none", "cpu", or numbers of devices such as "0" or "0,1"',
        lambda value, _: _matching(_GPUS, _digits(value)),
    )


def folders() -> Kind:
    """Existing folders; relative ones lie below the file's."""
    words = 'a list of folders that exist, such as ["/data/models"]'
    return taking(
        words,
        lambda value, below: [str(_folder(one, below, words)) for one in _texts(value)],
    )


def folder() -> Kind:
    """An existing folder; a relative one lies below the file's."""
    words = "a folder that exists"
    return taking(words, lambda value, below: _folder(_text(value), below, words))


def file() -> Kind:
    """A file, which need not be there yet; a relative one lies below the file of settings'."""
    return taking(
        "the path of a file", lambda value, below: str(below / Path(_text(value)).expanduser())
    )


def program() -> Kind:
    """A program by its name, or by a path; a relative one lies below the file's folder."""

    def take(value: object, below: Path) -> str:
        path = Path(_text(value)).expanduser()
        return str(below / path) if len(path.parts) > 1 else str(path)

    return taking("the path of a program", take)


def address() -> Kind:
    """HOST, or HOST:PORT; gives (host, port), the port None where there is none."""

    def take(value: object, _: Path) -> tuple[str, int | None]:
        if (found := split_address(_text(value))) is None:
            raise ValueError
        return found

    return taking('an address such as "127.0.0.1:13131"', take, _show_address)


def origins() -> Kind:
    """What browsers send as Origin: scheme, host and port, and nothing behind them."""
    return taking(
        'a list of origins such as ["https://chat.example.com"], or ["*"]',
        lambda value, _: tuple(_matching(_ORIGIN, one) for one in _texts(value)),
    )


def _show_address(address: tuple[str, int | None]) -> str:
    host, port = address
    shown = f"[{host}]" if ":" in host else host
    return json.dumps(shown if port is None else f"{shown}:{port}")


def _show_size(num_bytes: int) -> str:
    mebibytes, rest = divmod(num_bytes, 1024**2)
    return f"{num_bytes}" if rest else f'"{mebibytes}MiB"'


# What follows raises ValueError or TypeError.
def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError
    return cast(list[object], value)


def _texts(value: object) -> list[str]:
    return [_text(one) for one in _list(value)]


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _number(value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError
    return value


def _digits(value: object) -> str:
    """A text, or a number as one."""
    return value if isinstance(value, str) else str(_number(value, 0, sys.maxsize))


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError
    return text


def _folder(name: str, below: Path, words: str) -> Path:
    path = below / Path(name).expanduser()
    if not os.path.isdir(path):
        raise Missing(words, f"there is no folder {path}")
    return path


def _seconds(value: object, low_s: float, high_s: float) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and (found := _DURATION.fullmatch(value.strip())):
        seconds = float(found[1]) * _UNIT_S[found[2]]
    else:
        raise ValueError
    if not low_s <= seconds <= high_s:
        raise ValueError
    return seconds
