"""All of standard output: the answer, a table, one JSON object.

It knows nothing of progress, errors or hints; those are `diagnostics`. On a terminal an answer
loses its control characters, so that no model can move the cursor or retitle the window; in a
pipe it stays as it came.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any, TextIO, cast

from cortex.peer.onlooker.aligning import align
from cortex.peer.talk.plain import without_controls

from .errors import OutputFailed, ReaderGone


class Output:
    """A stream that people or programs read the answer from."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.is_terminal = stream.isatty()

    def text(self, text: str) -> None:
        """A piece of an answer, at once."""
        self._write(without_controls(text) if self.is_terminal else text)

    def line(self, text: str = "") -> None:
        self._write(f"{text}\n")

    def drawn(self, text: str) -> None:
        """What was made for a terminal: it may move the cursor."""
        self._write(text)

    def clear(self) -> None:
        """Begin again at the top of the terminal."""
        self._write("\x1b[H\x1b[2J")

    @property
    def width(self) -> int | None:
        """How many characters a line of the terminal takes; elsewhere as many as there are."""
        return shutil.get_terminal_size().columns if self.is_terminal else None

    def json(self, value: Mapping[str, Any]) -> None:
        self.line(json.dumps({"schema": 1, **value}, ensure_ascii=False))

    def either(self, value: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
        """The value for programs, or lines for people."""
        if as_json:
            self.json(value)
            return
        for line in lines:
            self.line(line)

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        for line in align(head, rows):
            self.line(line)

    @contextmanager
    def outlived(self) -> Generator[None]:
        """Write for as long as somebody reads, and then go on: the exit code is an answer too."""
        with suppress(ReaderGone):
            yield

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError as error:
            raise ReaderGone from error
        except OSError as error:
            raise OutputFailed(
                f"cannot write to standard output: {error.strerror or error}.",
                "is the disk it goes to full?",
            ) from error


def standard_output() -> Output:
    """Standard output: UTF-8 for programs and files, as JSON has to be, whatever the locale is. A
    character that a terminal's encoding lacks is replaced, not fatal.

    Raises OutputFailed where it is closed.
    """
    if not sys.stdout:
        raise OutputFailed("cannot write to standard output: it is closed.", "leave out: >&-")
    stream: TextIO = sys.stdout
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(
            encoding=stream.encoding if stream.isatty() else "utf-8", errors="replace"
        )
    return Output(cast(TextIO, stream))


def abandon_what_is_stuck() -> None:
    """Point at nothing what cannot be written to.

    The interpreter's last flush would put words and an exit code of its own in the place of ours.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
