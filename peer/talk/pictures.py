"""A picture that a person named, as bytes: read, bounded, and never opened.

Whether the bytes are a whole picture is judged where the model is. What can be said here without
decoding is said here: no such file, a folder, nothing in it, too large, an address, a file of
another kind, bytes that begin as no picture does.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import BinaryIO

from cortex.engine.foreign_files import PDF, foreign_kind
from cortex.engine.types import ImagePart

from ..errors import PictureUnreadable
from .paths import FILE_ADDRESS, PICTURES, at_home

# A peer takes bodies of 64 MiB, and base64 makes four bytes of three: what is read here must not
# depend on who answers.
MAX_PICTURE_BYTES = 46 * 1024 * 1024
FROM_STDIN = "-"

_KINDS = "a picture is a PNG, JPEG, GIF or WebP file."
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*:/|data:)", re.IGNORECASE)


def read_picture(argument: str, stdin: BinaryIO | None) -> ImagePart:
    """The bytes that `argument` names: a path, or `-` for standard input.

    Raises PictureUnreadable where there is nothing that could be a picture.
    """
    if argument == FROM_STDIN:
        if stdin is None or stdin.isatty():
            raise PictureUnreadable(
                "--image - reads a picture from standard input, and there is none.",
                "cortex chat --image - < receipt.png",
            )
        return _checked(stdin.read(MAX_PICTURE_BYTES + 1), "standard input")
    if _ADDRESS.match(argument) and not FILE_ADDRESS.match(argument):
        raise _no_address(argument)
    path = at_home(argument)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PICTURE_BYTES + 1)
    except FileNotFoundError as error:
        raise PictureUnreadable(f"no picture at {argument}.", _nearest(path)) from error
    except IsADirectoryError as error:
        raise PictureUnreadable(
            f"{argument} is a folder, not a picture.", "name one file, and --image once for each."
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise PictureUnreadable(f"cannot read {argument}: {reason}.") from error
    return _checked(data, path.name)


def _checked(data: bytes, name: str) -> ImagePart:
    if not data:
        raise PictureUnreadable(f"{name} is empty.", _KINDS)
    if len(data) > MAX_PICTURE_BYTES:
        raise PictureUnreadable(
            f"{name} is over {MAX_PICTURE_BYTES // 1024**2} MiB, the most a picture may have.",
            "scale it down, or save it as a JPEG.",
        )
    kind = foreign_kind(data)
    if kind == PDF:
        raise PictureUnreadable(
            f"{name} is a PDF; convert it to a picture first.",
            f"pdftoppm -r 150 -png -singlefile {name} page && cortex chat --image page.png",
        )
    if kind is not None:
        raise PictureUnreadable(f"{name} is {kind}; convert it to PNG or JPEG first.", _KINDS)
    if not data.startswith(PICTURES):
        raise PictureUnreadable(f"{name} is no picture.", _KINDS)
    # A file name need not be text; the one we pass on is.
    return ImagePart(data, name.encode(errors="replace").decode())


def _no_address(argument: str) -> PictureUnreadable:
    if argument.lower().startswith(("http:", "https:")):
        return PictureUnreadable(
            f"{argument} is an address; cortex fetches nothing from the network.",
            f"download it first: curl -L -o picture {argument} && cortex chat --image picture",
        )
    kind = argument.partition(":")[0]
    return PictureUnreadable(
        f"--image takes a file, not a {kind}: address.", "give the file's path."
    )


def _nearest(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.name != path.name]
    except OSError:
        return f"there is no folder {path.parent} either."
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {path.with_name(close[0])}?" if close else ""
