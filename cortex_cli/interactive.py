"""A conversation at the terminal: read a line, answer it, remember both.

ctrl-c stops an answer and keeps what came; at an empty prompt it leaves, as ctrl-d does. Nothing
typed is written to disk: the history that the arrow keys go through ends with the conversation.
"""

from __future__ import annotations

import contextlib
import locale
import sys
from collections.abc import Callable, Iterator
from io import TextIOWrapper
from typing import Protocol

from cortex.engine.errors import ContextLengthExceeded, CortexError
from cortex.engine.types import ImagePart
from cortex.peer.talk.conversation import Conversation, may_be_pictures
from cortex.peer.talk.paths import path_completions

from .chat_commands import NAMES, ChatCommands, Leave, Talk
from .config import export_variable
from .diagnostics import Diagnostics
from .question import checked_text

PROMPT = "> "
# Python turns it off as it imports readline; with it a block of lines that is pasted is one prompt.
_PASTE_WHOLE = "set enable-bracketed-paste on"
# alt-enter: a newline, taken as it is.
_NEWLINE_KEYS = ('"\\e\\C-m": "\\C-v\\C-j"', '"\\e\\C-j": "\\C-v\\C-j"')


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
    show_picture: Callable[[ImagePart], None],
    is_late: Callable[[], bool],
) -> None:
    """Talk until the person leaves. Raises KeyboardInterrupt once it is late."""
    commands = ChatCommands(talk, diagnostics, read_picture, show_picture)
    diagnostics.line(f"{talk.model} answers. /help lists what can be typed; ctrl-d leaves.")
    for picture in talk.conversation.pictures:
        show_picture(picture)
    with contextlib.suppress(Leave):
        for line in _lines(keyboard, diagnostics, is_late):
            try:
                if line.strip() and not commands.obey(line):
                    talk.answer(checked_text(line.strip()))
            except KeyboardInterrupt:  # of a command, or of what follows an answer
                if is_late():
                    raise
                diagnostics.line("stopped.")
            except CortexError as error:
                diagnostics.error(error.message, error.hint)
                _advise(error, talk.conversation, diagnostics)


def _advise(error: CortexError, conversation: Conversation, diagnostics: Diagnostics) -> None:
    is_full = isinstance(error, ContextLengthExceeded)
    if may_be_pictures(error):
        if conversation.detach():
            diagnostics.line("the next prompt goes without a picture; /image FILE sends one.")
        elif conversation.shows_pictures and not is_full:
            diagnostics.line("the pictures so far go with every prompt; /new begins without them.")
    if is_full and conversation.turns:
        diagnostics.line("/new begins anew, /save FILE keeps what was said.")


def _lines(
    keyboard: Keyboard, diagnostics: Diagnostics, is_late: Callable[[], bool]
) -> Iterator[str]:
    while not is_late():
        try:
            line = keyboard.line().rstrip()
        except KeyboardInterrupt:
            diagnostics.line("")
            if not is_late() and not keyboard.has_unsent():
                return
        except EOFError:
            diagnostics.line("")
            return
        else:
            yield line
    raise KeyboardInterrupt


class Terminal:
    """A `Keyboard` with line editing, where standard output is the terminal too.

    Where it is not, the prompt goes to standard error and the line comes as it is typed.
    """

    def __init__(self, diagnostics: Diagnostics, *, can_edit: bool) -> None:
        """Before anything was read from standard input, whose errors cannot be changed later."""
        self._diagnostics = diagnostics
        self._readline = _load_readline() if can_edit else None
        # A byte that is no character is told of where a prompt is made of it, and ends no talk.
        if isinstance(sys.stdin, TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape")

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
    _use_utf8_locale()
    try:
        import readline
    except ImportError:  # some builds of Python have none
        return None
    # To libedit, which some builds have in its place, these are unknown words that it passes over.
    for words in (_PASTE_WHOLE, *_NEWLINE_KEYS):
        readline.parse_and_bind(words)
    readline.set_completer_delims(" \t\n")
    readline.set_completer(_completer(readline.get_begidx))
    readline.parse_and_bind("tab: complete")
    return readline


def _use_utf8_locale() -> None:
    """Takes C.UTF-8, if the machine has it, where the locale knows ASCII alone: the C locale, or
    one that is missing here. Line editing would take the bytes of other letters for keys.
    """
    if locale.setlocale(locale.LC_CTYPE) in ("C", "POSIX"):
        with contextlib.suppress(locale.Error):
            # Line editing asks the environment again before each line.
            export_variable("LC_ALL", locale.setlocale(locale.LC_CTYPE, "C.UTF-8"))


def _completer(begins_at: Callable[[], int]) -> Callable[[str, int], str | None]:
    """Commands at the beginning of a line, names of files behind it."""

    def complete(begun: str, number: int) -> str | None:
        if begins_at():
            found = path_completions(begun)
        else:
            found = [f"/{name} " for name in NAMES if f"/{name}".startswith(begun)]
        return found[number] if number < len(found) else None

    return complete
