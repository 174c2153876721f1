"""A TOML file as plain values, and on which line of it something stands.

It knows no setting. The line is found in the text, for people to look at: where a file spells its
tables in an uncommon way none is found, and none is said.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigProblem

_MAX_BYTES = 1024 * 1024
_HEADER = re.compile(r"""\s*\[\[?\s*["']?([^\]"']+?)["']?\s*\]""")
_NAME = re.compile(r"""\s*["']?([^\s"'=]+)["']?\s*=""")


@dataclass(frozen=True, slots=True)
class TomlFile:
    path: Path
    text: str
    values: dict[str, object]

    def place_of(self, section: str, key: str | None = None, index: int = 0) -> str:
        """FILE, or FILE line N: the key's, else the section's. `index` counts sections of that
        name.
        """
        number = _line_of(self.text, section, key, index)
        number = number or _line_of(self.text, section, None, index)
        return f"{self.path}" if number is None else f"{self.path} line {number}"


def read_toml(path: Path) -> TomlFile:
    """Raises ConfigProblem for a file that is none, or no TOML."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigProblem(
            f"cannot read {path}: {error.strerror or error}", "name another with --config FILE"
        ) from None
    if len(data) > _MAX_BYTES:
        raise ConfigProblem(f"{path} is over {_MAX_BYTES} bytes: that is no file of settings")
    try:
        text = data.decode("utf-8-sig")
        return TomlFile(path, text, tomllib.loads(text))
    except UnicodeDecodeError:
        raise ConfigProblem(f"{path} is not UTF-8", "save it as UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        what = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "nested too deeply"
        raise ConfigProblem(f"{path} is not TOML: {_lowered(what)}") from None


def _line_of(text: str, section: str, key: str | None, index: int) -> int | None:
    """Where the key of a section stands, or the section itself, as a table or as `section = …`."""
    within, left = "", index + 1
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            within = header[1]
            left -= within == section
            if key is None and within == section and not left:
                return number
        elif name := _NAME.match(line):
            is_there = (within, name[1]) == _wanted(section, key)
            if is_there and (key is None or not left):
                return number
    return None


def _wanted(section: str, key: str | None) -> tuple[str, str]:
    return ("", section) if key is None else (section, key)


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
