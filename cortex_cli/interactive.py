"""A conversation at the terminal: read a line, answer it, remember both.

ctrl-c stops an answer and keeps what came; at an empty prompt it leaves, as ctrl-d does. Lines
that begin with a slash and a word are commands. Nothing typed is written to disk.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Protocol

from cortex.engine.errors import (
    ContextLengthExceeded,
    CortexError,
    InvalidImage,
    VisionUnsupported,
)
from cortex.engine.types import ImagePart

from .diagnostics import Diagnostics

PROMPT = "> "
# A picture that was refused once would be refused with every prompt after it.
_PICTURE_REFUSED = (InvalidImage, VisionUnsupported, ContextLengthExceeded)
_COMMAND = re.compile(r"/([a-z?]+)(?:\s+(.*))?")
_HELP = """\
/image FILE   send a picture with the next prompt
/help         this list
ctrl-c        stop the answer; at an empty prompt: leave
ctrl-d        leave"""


class Talk(Protocol):
    """What a conversation needs of whoever answers."""

    def answer(self, prompt: str) -> object:
        """Answer and show it; raises CortexError where there is no answer."""
        ...

    def attach(self, picture: ImagePart) -> None: ...

    def detach(self) -> bool:
        """Let go of the pictures for the next prompt; whether there were any."""
        ...


class Keyboard(Protocol):
    """A person typing. `line` raises EOFError when they leave, KeyboardInterrupt at ctrl-c."""

    def line(self) -> str: ...

    def has_unsent(self) -> bool:
        """Whether the line that ctrl-c interrupted had anything on it."""
        ...


def converse(
    talk: Talk,
    keyboard: Keyboard,
    diagnostics: Diagnostics,
    read_picture: Callable[[str], ImagePart],
) -> None:
    """Talk until the person leaves."""
    diagnostics.line("/help lists what can be typed; ctrl-d leaves.")
    while (line := _next_line(keyboard, diagnostics)) is not None:
        try:
            _obey(line.strip(), talk, diagnostics, read_picture)
        except CortexError as error:
            diagnostics.error(error.message, error.hint)
            if isinstance(error, _PICTURE_REFUSED) and talk.detach():
                diagnostics.line("the next prompt goes without a picture; /image FILE sends one.")


def _next_line(keyboard: Keyboard, diagnostics: Diagnostics) -> str | None:
    while True:
        try:
            return keyboard.line()
        except KeyboardInterrupt:
            diagnostics.line("")
            if not keyboard.has_unsent():
                return None
        except EOFError:
            diagnostics.line("")
            return None


def _obey(
    line: str, talk: Talk, diagnostics: Diagnostics, read_picture: Callable[[str], ImagePart]
) -> None:
    command = _COMMAND.fullmatch(line)
    if command is None:
        if line:
            talk.answer(line)
        return
    match command[1], (command[2] or "").strip("'\" "):
        case "image", path if path:
            picture = read_picture(path)
            talk.attach(picture)
            diagnostics.line(f"{picture.name} goes with the next prompt.")
        case "help" | "?", _:
            diagnostics.line(_HELP)
        case "image", _:
            diagnostics.line("which picture? /image FILE")
        case name, _:
            diagnostics.line(f"there is no command /{name}; /help lists them.")


class Terminal:
    """A `Keyboard` with line editing, where standard output is the terminal too.

    Where it is not, the prompt goes to standard error and the line comes as it is typed.
    """

    def __init__(self, diagnostics: Diagnostics, *, can_edit: bool) -> None:
        self._diagnostics = diagnostics
        self._readline = _load_readline() if can_edit else None

    def line(self) -> str:
        if self._readline is not None:
            return input(PROMPT)
        self._diagnostics.write(PROMPT)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line

    def has_unsent(self) -> bool:
        return self._readline is not None and bool(self._readline.get_line_buffer())


class _Readline(Protocol):
    def get_line_buffer(self) -> str: ...


def _load_readline() -> _Readline | None:
    try:
        import readline
    except ImportError:  # some builds of Python have none
        return None
    return readline
