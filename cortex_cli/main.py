"""The command table, and what becomes of the errors that a command raises.

Nothing heavy is imported here: `--help`, completion and every command pay for this module. A
command imports what it needs when it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer
from typer.completion import completion_init  # pyright: ignore[reportPrivateImportUsage]

from cortex.engine.errors import CortexError

from . import diagnostics, output
from .commands.bench import bench
from .commands.chat import chat
from .commands.completion import completion
from .commands.config import config
from .commands.doctor import doctor
from .commands.drain import drain
from .commands.gateway import gateway
from .commands.join import join
from .commands.key import key
from .commands.launch import launch
from .commands.leave import leave
from .commands.load import load
from .commands.logs import logs
from .commands.models import models
from .commands.peer import peer
from .commands.plan import plan
from .commands.ps import cancel, ps
from .commands.service import service
from .commands.status import status
from .commands.tui import tui
from .commands.undrain import undrain
from .commands.unload import pin, unload, unpin
from .commands.verify import verify
from .config import Invocation, this_invocation
from .errors import ReaderGone
from .options import Verbose

PROGRAM = "cortex"
DISTRIBUTION = "cortex-fleet"

_HELP = """\
Ask models about text and pictures, on your own machines.

\b
  cortex chat "What is the total?" --image receipt.png
  git diff | cortex chat "write the commit message"
  cortex peer --gpu all
"""

app = typer.Typer(
    name=PROGRAM,
    help=_HELP,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command()(chat)
app.command()(peer)
app.command()(gateway)
app.command("serve", hidden=True)(gateway)
app.command()(join)
app.command()(leave)
app.command()(key)
app.command()(status)
app.command()(tui)
app.command()(doctor)
app.command()(models)
app.command()(plan)
app.command()(load)
app.command()(unload)
app.command()(pin)
app.command()(unpin)
app.command()(ps)
app.command()(cancel)
app.command()(drain)
app.command()(undrain)
app.command()(logs)
app.command()(launch)
app.command()(bench)
app.command()(verify)
app.add_typer(config, name="config")
app.add_typer(service, name="service")
app.command()(completion)


def _show_version(wished: bool) -> None:
    if wished:
        output.standard_output().line(f"{PROGRAM} {version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version, and exit."
        ),
    ] = False,
    verbose: Verbose = False,
) -> None:
    if context.invoked_subcommand is None:
        output.standard_output().line(context.get_help())


def main() -> None:
    """What the console script calls."""
    sys.exit(run(sys.argv[1:], this_invocation()))


def run(arguments: Sequence[str], invocation: Invocation) -> int:
    """Run one command and turn how it ended into an exit code."""
    to = diagnostics.standard_error(can_redraw=invocation.can_redraw)
    completion_init()
    command = typer.main.get_command(app)
    try:
        code = command.main(arguments, PROGRAM, standalone_mode=False, obj=invocation)
        return code if isinstance(code, int) else diagnostics.DONE
    except CortexError as error:
        to.error(error.message, error.hint)
        return diagnostics.exit_code(error)
    except typer.TyperException as error:
        to.error(error.format_message(), _help_hint(error))
        return diagnostics.USAGE
    except (KeyboardInterrupt, typer.Abort):
        return diagnostics.INTERRUPTED
    except ReaderGone:
        output.abandon()
        return diagnostics.DONE
    except Exception as error:
        diagnostics.report_unexpected(to, error, invocation.error_log, verbose=invocation.verbose)
        return diagnostics.FAILED


def _help_hint(error: typer.TyperException) -> str:
    # A wrong command knows the context it was typed in; what typer shows of that is not public.
    return f"see {getattr(getattr(error, 'ctx', None), 'command_path', PROGRAM)} -h"
