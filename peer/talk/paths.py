"""Names of files as people type and paste them, and how one that was begun goes on."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from urllib.parse import unquote

_MOST = 200
# How file managers and browsers write the name of a file of this machine.
FILE_ADDRESS = re.compile(r"file:(?://(?:localhost)?)?(?=/(?!/))", re.IGNORECASE)
# What the pictures that are read begin with.
PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF")


def at_home(name: str) -> Path:
    """The path that is meant; the `~` of a user who is not there is a name like any other."""
    if address := FILE_ADDRESS.match(name):
        return Path(unquote(name[address.end() :], errors="surrogateescape"))
    try:
        return Path(name).expanduser()
    except (RuntimeError, ValueError):
        return Path(name)


def path_completions(begun: str) -> list[str]:
    """What lies where `begun` leads, as it would be typed; a folder ends with a slash.

    Hidden names only where the dot is typed.
    """
    start = begun.rpartition("/")[2]
    lead = begun[: len(begun) - len(start)]
    try:
        at = at_home(lead or ".")
        entries = sorted(at.iterdir(), key=lambda entry: entry.name)
        return [
            f"{lead}{entry.name}{'/' * entry.is_dir()}"
            for entry in entries
            if entry.name.startswith(start) and (start or not entry.name.startswith("."))
        ][:_MOST]
    except (OSError, ValueError):
        return []


def completed(begun: str) -> str:
    """As far as all that it could be agree, and no shorter."""
    found = path_completions(begun)
    if not found:
        return begun
    first, last = min(found), max(found)
    pairs = zip(first, last, strict=False)
    same = next((at for at, (one, other) in enumerate(pairs) if one != other), len(first))
    return max(begun, first[:same], key=len)


def leads_to_file(name: str) -> bool:
    try:
        return at_home(name).is_file()
    except (OSError, ValueError):
        return False


def names_in(argument: str) -> list[str]:
    """File names as a person or a terminal writes them: quoted, escaped, or just as they are."""
    try:
        if at_home(argument).exists():
            return [argument]
        return shlex.split(argument)
    except (OSError, ValueError):
        return [argument]


def picture_named(pasted: str) -> str | None:
    """The one file that a text names, if that looks like a picture."""
    text = pasted.strip()
    if not text or "\n" in text:
        return None
    try:
        [name] = names_in(text)
        with at_home(name).open("rb") as file:
            return name if file.read(4).startswith(PICTURES) else None
    except (OSError, ValueError):
        return None
