"""Where a prompt comes from: the argument, a pipe, both, or a person at the terminal.

A pipe is put after the argument. Where neither is there and nobody sits at a terminal, that is an
error at once: a command that waits in silence for input that never comes helps nobody.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from cortex.peer.talk.paths import at_home

from .errors import UsageProblem

MAX_PROMPT_BYTES = 16 * 1024 * 1024
FROM_STDIN = "-"
_PATIENCE_S = 2.0

_WITHOUT_STDIN = "to ask without it: < /dev/null"
_EXAMPLE = 'cortex chat "What is the total?" --image receipt.png'


@dataclass(frozen=True, slots=True)
class Stdin:
    """Standard input, as far as a prompt cares: who is at its other end, and what it holds."""

    stream: BinaryIO
    is_terminal: bool
    is_pipe: bool


def look_at(stream: BinaryIO | None) -> Stdin | None:
    """What standard input is; None where it is closed.

    A pipe here is anything that ends by itself: a pipe, a file, a socket. /dev/null is not one.
    """
    if stream is None:
        return None
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except OSError:
        return None
    is_pipe = stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)
    return Stdin(stream, stream.isatty(), is_pipe)


def find_prompt(
    argument: str | None,
    stdin: Stdin | None,
    *,
    stdin_is_picture: bool,
    is_about_files: bool,
    notice: Callable[[str], None],
) -> str | None:
    """The prompt to answer, or None where a person is there to be talked to. Where a whole question
    about files was typed, a pipe that comes on top of it is told of.

    Raises UsageProblem where there is no prompt and nobody to ask for one.
    """
    if argument == FROM_STDIN:
        if stdin is None or stdin_is_picture:
            raise UsageProblem("standard input cannot be the prompt here.", f"try: {_EXAMPLE}")
        return _not_empty(_read(stdin, notice))
    piped = ""
    if stdin is not None and stdin.is_pipe and not stdin_is_picture:
        piped = _read(stdin, notice)
        if piped and is_about_files:
            # A loop's list of files or a shell's script, as likely as something to ask about.
            put = f"{len(piped):,} characters of standard input stand behind the prompt"
            notice(f"{put} ({_WITHOUT_STDIN})")
    elif argument is None:
        if stdin is not None and stdin.is_terminal:
            return None
        raise UsageProblem("nothing to ask: no prompt, no pipe, no terminal.", f"try: {_EXAMPLE}")
    return _not_empty("\n\n".join(part for part in (checked_text(argument or ""), piped) if part))


def checked_text(text: str, what: str = "the prompt") -> str:
    """`text`, where it is text.

    Raises UsageProblem for bytes that the shell passed and that spell no characters.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageProblem(f"{what} is not valid UTF-8.") from error
    return text


def read_text(name: str) -> str:
    """A file of text, under its name.

    Raises UsageProblem where there is none.
    """
    try:
        with at_home(name).open("rb") as file:
            data = file.read(MAX_PROMPT_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise UsageProblem(f"cannot read {name}: {reason}.") from error
    if len(data) > MAX_PROMPT_BYTES:
        raise UsageProblem(f"{name} is over {MAX_PROMPT_BYTES // 1024**2} MiB of prompt.")
    try:
        # A file name need not be text; the one we pass on is.
        shown = name.encode(errors="replace").decode()
        return f"{shown}:\n\n{data.decode().rstrip()}"
    except UnicodeDecodeError as error:
        raise UsageProblem(
            f"{name} is not UTF-8 text.", f"to send a picture: --image {name}"
        ) from error


def _read(stdin: Stdin, notice: Callable[[str], None]) -> str:
    if not stdin.is_terminal and not select.select([stdin.stream], [], [], _PATIENCE_S)[0]:
        notice(f"waiting for standard input to end ({_WITHOUT_STDIN})")
    data = stdin.stream.read(MAX_PROMPT_BYTES + 1)
    if len(data) > MAX_PROMPT_BYTES:
        raise UsageProblem(f"standard input is over {MAX_PROMPT_BYTES // 1024**2} MiB of prompt.")
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UsageProblem(
            "standard input is not UTF-8 text.", "to send a picture that way: --image -"
        ) from error


def _not_empty(prompt: str) -> str:
    if not prompt.strip():
        raise UsageProblem("the prompt is empty.", f"try: {_EXAMPLE}")
    return prompt
