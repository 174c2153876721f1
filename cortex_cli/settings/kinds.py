"""The kinds of values that settings have: how one is read from TOML, and how it is shown.

A kind knows nothing of where its value stands or what it is for. What it refuses it says as what it
expected; whoever asked adds the file, the line and the key.
"""

from __future__ import annotations

import json
import re
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
_ORIGIN = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


class BadValue(Exception):
    """`expected` is what should stand there; a secret that stands there instead is not shown."""

    def __init__(self, expected: str, hint: str = "", *, is_secret: bool = False) -> None:
        super().__init__(expected)
        self.expected = expected
        self.hint = hint
        self.is_secret = is_secret


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


def text(words: str = "a text") -> Kind:
    def read(value: object, _: Path) -> str:
        return _nonempty(value, words)

    return Kind(words, read)


def whole(low: int, high: int = 2**31 - 1) -> Kind:
    words = f"a whole number from {low}" + (f" to {high}" if high < 2**31 - 1 else "")

    def read(value: object, _: Path) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise BadValue(words)
        return value

    return Kind(words, read)


def duration(low_s: float, high_s: float = 24 * 3600.0) -> Kind:
    """In seconds; a bare number is one of seconds."""
    words = f'a time such as "30s", "500ms" or "10m", {low_s:g} to {high_s:g} seconds'

    def read(value: object, _: Path) -> float:
        seconds = _seconds(value)
        if seconds is None or not low_s <= seconds <= high_s:
            raise BadValue(words)
        return seconds

    return Kind(words, read, lambda seconds: f'"{seconds:g}s"')


def duration_or_never(low_s: float, *, never: float | None) -> Kind:
    """A duration, or "never", which is read as that value."""
    timed = duration(low_s, 365 * 24 * 3600.0)
    words = 'a time such as "10m", or "never"'

    def read(value: object, folder: Path) -> float | None:
        if value == "never":
            return never
        try:
            return timed.read(value, folder)
        except BadValue:
            raise BadValue(words) from None

    spelt = '"never"'
    return Kind(
        words,
        read,
        lambda value: spelt if value == never else timed.show(value),
        spelt if never is None else "",
    )


def size() -> Kind:
    words = 'a size such as "64MiB", 1 MiB or more'

    def read(value: object, _: Path) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise BadValue(words)
        try:
            return parse_size(str(value))
        except UsageProblem:
            raise BadValue(words) from None

    return Kind(words, read, _show_size)


def parsed(words: str, parse: Callable[[str], str]) -> Kind:
    """A text that an option of the command line reads too."""

    def read(value: object, _: Path) -> str:
        return _parsed(value, words, parse)

    return Kind(words, read)


def several(words: str, parse: Callable[[str], str]) -> Kind:
    """A list of such texts."""

    def read(value: object, _: Path) -> list[str]:
        return [_parsed(one, words, parse) for one in _texts(value, words)]

    return Kind(words, read)


def switch() -> Kind:
    words = "true or false"

    def read(value: object, _: Path) -> bool:
        if not isinstance(value, bool):
            raise BadValue(words)
        return value

    return Kind(words, read)


def opposite() -> Kind:
    """A switch whose option turns it off."""
    straight = switch()

    def read(value: object, folder: Path) -> bool:
        return not straight.read(value, folder)

    return Kind(straight.words, read, lambda value: straight.show(not value))


def where(parse: Callable[[str], str]) -> Kind:
    """True for every peer, or the names of some."""
    words = 'true, false, or a list of names of peers such as ["beast"]'

    def read(value: object, _: Path) -> bool | tuple[str, ...]:
        if isinstance(value, bool):
            return value
        return tuple(_parsed(one, words, parse) for one in _texts(value, words))

    return Kind(words, read)


def numbers() -> Kind:
    """The numbers of devices."""
    words = "a list of numbers of devices such as [0, 1]"

    def read(value: object, _: Path) -> tuple[int, ...]:
        if not isinstance(value, list):
            raise BadValue(words)
        return tuple(_number(one, words) for one in cast(list[object], value))

    return Kind(words, read)


def choice(*words: str) -> Kind:
    expected = " or ".join(f'"{word}"' for word in words)

    def read(value: object, _: Path) -> str:
        if value not in words:
            raise BadValue(expected)
        return cast(str, value)

    return Kind(expected, read)


def gpus() -> Kind:
    expected = '"all", "none", "cpu" or the number of a device'

    def read(value: object, _: Path) -> str:
        shown = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
        if not _GPUS.fullmatch(shown):
            raise BadValue(expected)
        return shown

    return Kind(expected, read)


def folders() -> Kind:
    """Existing folders; relative ones lie below the file's."""
    expected = 'a list of folders that exist, such as ["/data/models"]'

    def read(value: object, folder: Path) -> list[str]:
        paths = [folder / Path(one).expanduser() for one in _texts(value, expected)]
        for path in paths:
            if not path.is_dir():
                raise BadValue(expected, f"there is no folder {path}")
        return [str(path) for path in paths]

    return Kind(expected, read)


def folder() -> Kind:
    """An existing folder; a relative one lies below the file's."""
    expected = "a folder that exists"

    def read(value: object, folder: Path) -> Path:
        path = folder / Path(_nonempty(value, expected)).expanduser()
        if not path.is_dir():
            raise BadValue(expected, f"there is no folder {path}")
        return path

    return Kind(expected, read)


def file() -> Kind:
    """A file, which need not be there yet; a relative one lies below the file of settings'."""
    expected = "the path of a file"

    def read(value: object, folder: Path) -> str:
        return str(folder / Path(_nonempty(value, expected)).expanduser())

    return Kind(expected, read)


def program() -> Kind:
    """A program by its name, or by a path; a relative one lies below the file's folder."""
    expected = "the path of a program"

    def read(value: object, folder: Path) -> str:
        path = Path(_nonempty(value, expected)).expanduser()
        return str(folder / path) if len(path.parts) > 1 else str(path)

    return Kind(expected, read)


def address() -> Kind:
    """HOST, or HOST:PORT; gives (host, port), the port None where there is none."""
    expected = 'an address such as "127.0.0.1:13131"'

    def read(value: object, _: Path) -> tuple[str, int | None]:
        found = split_address(_nonempty(value, expected))
        if found is None:
            raise BadValue(expected)
        return found

    return Kind(expected, read, _show_address)


def origins() -> Kind:
    """What browsers send as Origin: scheme, host and port, and nothing behind them."""
    expected = 'a list of origins such as ["https://chat.example.com"], or ["*"]'

    def read(value: object, _: Path) -> tuple[str, ...]:
        found = _texts(value, expected)
        if not all(one == "*" or _ORIGIN.fullmatch(one) for one in found):
            raise BadValue(expected)
        return tuple(found)

    return Kind(expected, read)


def _show_address(address: tuple[str, int | None]) -> str:
    host, port = address
    shown = f"[{host}]" if ":" in host else host
    return json.dumps(shown if port is None else f"{shown}:{port}")


def _show_size(num_bytes: int) -> str:
    mebibytes, rest = divmod(num_bytes, 1024**2)
    return f"{num_bytes}" if rest else f'"{mebibytes}MiB"'


def _nonempty(value: object, expected: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadValue(expected)
    return value


def _parsed(value: object, expected: str, parse: Callable[[str], str]) -> str:
    try:
        return parse(_nonempty(value, expected))
    except UsageProblem:
        raise BadValue(expected) from None


def _texts(value: object, expected: str) -> list[str]:
    if not isinstance(value, list):
        raise BadValue(expected)
    return [_nonempty(one, expected) for one in cast(list[object], value)]


def _number(value: object, expected: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1024:
        raise BadValue(expected)
    return value


def _seconds(value: object) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(found[1]) * _UNIT_S[found[2]] if found else None
