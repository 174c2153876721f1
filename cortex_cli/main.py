"""The program: its own options, and what becomes of the errors that a command raises.

Nothing heavy is imported here: help, completion and every command pay for this module. A command
is imported when it is asked for (`command_table`), and imports what it needs when it runs.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any, TextIO

import typer
from typer.completion import completion_init  # pyright: ignore[reportPrivateImportUsage]

from cortex.engine.errors import CortexError

from . import diagnostics, output
from .command_table import CommandTable
from .config import Invocation, this_invocation
from .errors import CommandLate, ReaderGone, UsageProblem
from .options import Verbose

PROGRAM = "cortex"

_HELP = """\
Ask models about text and pictures, on your own machines.

\b
  cortex chat "What is the total?" --image receipt.png
  git diff | cortex chat "write the commit message"
  cortex peer --gpu all
"""

app = typer.Typer(
    name=PROGRAM,
    cls=CommandTable,
    help=_HELP,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _show_version(wished: bool) -> None:
    if wished:
        from cortex.peer.release import own_release

        output.standard_output().line(f"{PROGRAM} {own_release()}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Print the version, and exit.",
            show_envvar=False,
        ),
    ] = False,
    verbose: Verbose = False,
) -> None:
    if context.invoked_subcommand is None:
        output.standard_output().line(context.get_help())


def main() -> None:
    """What the console script calls."""
    # Where nobody hears what is said beside the answer, the answer is given all the same.
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    try:
        invocation = this_invocation()
    except UsageProblem as error:
        to = diagnostics.Diagnostics(sys.stderr, can_redraw=False)
        to.error(error.message, error.hint)
        sys.exit(diagnostics.exit_code(error))
    code = run(sys.argv[1:], invocation)
    output.abandon_what_is_stuck()
    sys.exit(code)


def run(arguments: Sequence[str], invocation: Invocation) -> int:
    """Run one command and turn how it ended into an exit code."""
    stderr = sys.stderr
    try:
        code = _run(arguments, invocation, stderr)
    finally:
        sys.stderr = stderr
        if invocation.timeout_s is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
    if code == diagnostics.INTERRUPTED and invocation.is_late:
        late = CommandLate(f"not done within {invocation.timeout_s:g} s", "give it more: --timeout")
        diagnostics.standard_error(invocation).error(late.message, late.hint)
        return diagnostics.exit_code(late)
    return code


def _run(arguments: Sequence[str], invocation: Invocation, stderr: TextIO) -> int:
    completion_init()
    command = typer.main.get_command(app)
    try:
        code = command.main(arguments, PROGRAM, standalone_mode=False, obj=invocation)
        return code if isinstance(code, int) else diagnostics.DONE
    except CortexError as error:
        diagnostics.standard_error(invocation, stderr).error(error.message, error.hint)
        return diagnostics.exit_code(error)
    except typer.TyperException as error:
        to = diagnostics.standard_error(invocation, stderr)
        to.error(" ".join(error.format_message().split()), _help_hint(error, arguments))
        return diagnostics.USAGE
    except (KeyboardInterrupt, typer.Abort):
        return diagnostics.INTERRUPTED
    # Help is written by typer, which ends with this where its reader has gone.
    except (ReaderGone, SystemExit):
        return diagnostics.DONE
    except Exception as error:
        to = diagnostics.standard_error(invocation, stderr)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            to.error("no space is left on a disk", "is the one full that standard output goes to?")
            return diagnostics.FAILED
        diagnostics.report_unexpected(to, error, invocation.error_log, verbose=invocation.verbose)
        return diagnostics.FAILED


def _help_hint(error: typer.TyperException, arguments: Sequence[str]) -> str:
    # A wrong word knows the context it was typed in; what typer shows of that is not public.
    context: Any = getattr(error, "ctx", None)
    if context is None:  # an option without its value
        command = next((word for word in arguments if not word.startswith("-")), "")
        return f"see {PROGRAM} {command} -h"
    is_below = context.parent is not None and context.invoked_subcommand is None
    below = " or ".join(getattr(context.command, "commands", ())) if is_below else ""
    return f"see {context.command_path} -h" + (f"; it takes {below}" if below else "")
