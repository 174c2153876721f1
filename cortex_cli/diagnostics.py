"""All of standard error, and the exit codes.

An error is one line that says what happened, with the value, and at most one hint with the next
step. What broke inside is shown with -v alone; otherwise its stack goes to a file for whoever has
to mend it, without the exception's own words, which may quote a prompt.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from cortex.engine.errors import (
    CortexError,
    InsufficientVram,
    ModelInvalid,
    ModelNotFound,
    VisionUnsupported,
)
from cortex.peer.errors import (
    CannotStore,
    FleetKeyNotHeld,
    InvalidApiKey,
    InvalidFleetKey,
    NoPeer,
    PermissionDenied,
    PictureUnreadable,
)
from cortex.peer.observing.discretion import is_discreet

from .colours import Colour, painted
from .errors import CommandLate, ConfigProblem, NotThereYet, UsageProblem
from .log_lines import JsonLines

if TYPE_CHECKING:
    from cortex.peer.config import LogFormat, LogLevel

    from .config import Invocation

DONE = 0
FAILED = 1
USAGE = 2
NO_PEER = 3
NOT_ALLOWED = 4
NO_MODEL = 5
TIMED_OUT = 6
INTERRUPTED = 130

# What each tells a script.
MEANINGS = {
    DONE: "done",
    FAILED: "failed",
    USAGE: "the command, a setting or a key is wrong as it was given",
    NO_PEER: "no peer answered",
    NOT_ALLOWED: "not allowed: the key is missing or wrong",
    NO_MODEL: "the model is unknown, does not fit, or cannot do this",
    TIMED_OUT: "not done within --timeout",
    INTERRUPTED: "interrupted",
}

# A fleet key that was typed at a wrong place: an error that repeats what was typed says less.
_FLEET_KEY = re.compile(r"(cortex1-)[a-z2-7]{4,}", re.IGNORECASE)
_TEXT_LINES = "%(asctime)s %(levelname)s %(name)s %(message)s"
_ERASE_LINE = "\r\x1b[K"
_DIM, _NOT_DIM = "\x1b[2m", "\x1b[22m"

EXIT_CODES: tuple[tuple[type[CortexError], int], ...] = (
    (NotThereYet, FAILED),  # a service is started again
    (UsageProblem, USAGE),
    (ConfigProblem, USAGE),
    (PictureUnreadable, USAGE),
    (InvalidFleetKey, USAGE),
    (FleetKeyNotHeld, USAGE),
    (NoPeer, NO_PEER),
    (InvalidApiKey, NOT_ALLOWED),
    (PermissionDenied, NOT_ALLOWED),
    (ModelNotFound, NO_MODEL),
    (ModelInvalid, NO_MODEL),
    (InsufficientVram, NO_MODEL),
    (VisionUnsupported, NO_MODEL),
    (CannotStore, NO_MODEL),
    (CommandLate, TIMED_OUT),
)


def exit_code(error: CortexError) -> int:
    """What a shell is told about this error."""
    for kind, code in EXIT_CODES:
        if isinstance(error, kind):
            return code
    return FAILED


class Diagnostics:
    """A stream for everything that is not the answer.

    A reader that has gone away, or a full disk, is no reason to stop: what is said here is never
    the answer.
    """

    def __init__(self, stream: TextIO, *, can_redraw: bool, has_colour: bool = False) -> None:
        self._stream = stream
        self._has_colour = has_colour
        self.is_terminal = stream.isatty()
        self.can_redraw = can_redraw and self.is_terminal
        # Whether an answer stands unfinished in the terminal's line, and what was said beside it.
        self.is_beside_text = False
        self.num_notices = 0
        self._is_drawn = False

    @property
    def width(self) -> int | None:
        """How many characters a line of the terminal takes now; elsewhere as many as there are."""
        if not self.is_terminal:
            return None
        import shutil

        return shutil.get_terminal_size().columns

    def draw(self, text: str) -> None:
        """On a line of the terminal that is drawn in place, as much of it as fits, until something
        else is said.
        """
        room = None if self.width is None else self.width - 1
        self.write(f"{_ERASE_LINE}{text[:room]}")
        self._is_drawn = True

    def erase(self) -> None:
        """Leave the terminal's line as it was found."""
        if self._is_drawn:
            self.write(_ERASE_LINE)
            self._is_drawn = False

    def line(self, text: str) -> None:
        self.erase()
        self.write(f"{text}\n")

    def notice(self, text: str) -> None:
        """Something worth a person's glance; a script did not ask."""
        if self.is_terminal:
            self.num_notices += 1
            self.line(f"\n{text}" if self.is_beside_text else text)

    def error(self, message: str, hint: str = "") -> None:
        self._labelled("error:", "red", _sentence(message))
        if hint:
            self._labelled("hint:", "cyan", hint)

    def _labelled(self, label: str, colour: Colour, text: str) -> None:
        shown = painted(label, colour) if self._has_colour else label
        self.line(f"{shown} {_without_keys(text)}")

    def aside(self, text: str) -> None:
        """A piece of what is beside the point: dimmed, where the terminal can."""
        self.write(f"{_DIM}{text}{_NOT_DIM}" if self.can_redraw else text)

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(text)
            self._stream.flush()


def standard_error(invocation: Invocation, stream: TextIO | None = None) -> Diagnostics:
    """Standard error as it is now, or as it was, with what a terminal there can do."""
    to: TextIO = sys.stderr if stream is None else stream
    has_colour = invocation.has_colour(is_terminal=to.isatty())
    return Diagnostics(to, can_redraw=invocation.can_redraw, has_colour=has_colour)


def report_unexpected(to: Diagnostics, error: Exception, log_file: Path, *, verbose: bool) -> None:
    """Say that this is a bug, and leave the stack where it can be found."""
    if verbose:
        to.write("".join(traceback.format_exception(error)))
    kept = _keep_stack(error, log_file)
    place = f"its stack is in {log_file}" if kept else "-v shows its stack"
    to.error(f"unexpected {type(error).__name__}; this is a bug in cortex", f"{place}.")


def show_logs(
    *,
    verbose: bool,
    level: LogLevel = "warning",
    also: Sequence[str] = (),
    form: LogFormat = "text",
) -> None:
    """Send the log of every room to standard error: from that level on, with -v at least `info`.

    What the loggers `also` have to say for information is shown in any case. A logger may make more
    than that, for somebody else who listens. `debug` is of the rooms alone.
    """
    least = logging.getLevelNamesMapping()[level.upper()]
    least = min(least, logging.INFO) if verbose else least
    loud = {name: min(least, logging.INFO) for name in also}
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter(_TEXT_LINES))
    handler.addFilter(lambda record: record.levelno >= loud.get(record.name, least))
    handler.addFilter(is_discreet)
    logging.basicConfig(handlers=[handler], level=least, force=True)
    if (ours := logging.getLogger("cortex")).level != logging.NOTSET:  # somebody else listens
        ours.setLevel(min(least, logging.INFO))
    # What it complains of, those who call it tell in words of their own.
    logging.getLogger("zeroconf").setLevel(logging.INFO if verbose else logging.CRITICAL)
    for name, its_least in loud.items():
        logging.getLogger(name).setLevel(its_least)


def _without_keys(text: str) -> str:
    return _FLEET_KEY.sub(r"\1…", text)


def _sentence(message: str) -> str:
    # Some messages come from other programs' mouths; all of ours end the same way.
    return message if message.endswith((".", "!", "?")) else f"{message}."


def _keep_stack(error: Exception, log_file: Path) -> bool:
    stack = "".join(traceback.format_tb(error.__traceback__))
    try:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        log_file.write_text(f"{stack}{type(error).__name__}\n", encoding="utf-8")
    except OSError:
        return False
    return True
