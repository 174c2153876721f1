"""The options that every command has, and those of many: put there once, not typed into each
signature.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated, Any

import typer
from typer.main import get_params_convertors_ctx_param_name_from_function

from .config import export_variable
from .durations import parse_duration
from .options import Config, StateDir, Verbose, invocation_of

# Those that wait for a peer's answer; one of them is told where by a URL.
_ASKING = (
    *("chat", "status", "ps", "doctor", "models", "plan", "load", "unload", "pull"),
    *("pin", "unpin", "cancel", "drain", "undrain", "logs"),
)
_WHOSE = {
    "state_dir": (*_ASKING, "bench", "launch", "tui", "key", "leave"),
    "config": ("chat", "doctor", "models", "tui", "join", "key", "leave"),
    "timeout": (*_ASKING, "bench"),
}
_DAY_S = 86_400.0


def share(command: Any, name: str) -> None:
    """Give a command, and the commands below it, the options of all and its place in a list."""
    for below in getattr(command, "commands", {}).values():
        share(below, name)
    # In lists of commands the first sentence stands whole: typer would cut it at the margin.
    command.short_help = " ".join((command.help or "").partition("\n\n")[0].split())
    own = {option for parameter in command.params for option in parameter.opts}
    for option in get_params_convertors_ctx_param_name_from_function(_shared)[0]:
        if name in _WHOSE.get(option.name or "", (name,)) and not own & set(option.opts):
            option.expose_value = False
            command.params.append(option)
    name_variables(command)


def name_variables(command: Any) -> None:
    """Every option can be set in the environment too, but those that say
    `show_envvar=False`.
    """
    for option in command.params:
        if option.param_type_name == "option" and option.show_envvar:
            long = next(one for one in option.opts if one.startswith("--"))
            option.envvar = f"CORTEX_{long[2:].upper().replace('-', '_')}"


def _be_quiet(context: typer.Context, wished: bool) -> None:
    # Errors are told by whoever ran the command, who has held the real one since before.
    if wished and not context.resilient_parsing:
        nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - the context closes it
        sys.stderr = context.with_resource(nowhere)


def _forbid_colour(context: typer.Context, wished: bool) -> None:
    if wished and not context.resilient_parsing:
        invocation_of(context).colour_wish = False
        export_variable("NO_COLOR", "1")  # for the libraries that draw


def _set_timeout(context: typer.Context, timeout_s: float | None) -> None:
    """Ends the command as ctrl-c does: whatever is interrupted well is timed out well."""
    if timeout_s is None or context.resilient_parsing:
        return
    invocation = invocation_of(context)
    invocation.timeout_s = timeout_s

    def interrupt(*_: object) -> None:
        invocation.is_late = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)


def _shared(
    state_dir: StateDir = None,
    config: Config = None,
    verbose: Verbose = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="TIME",
            parser=parse_duration(0.001, _DAY_S),
            callback=_set_timeout,
            help="Give up after this, with exit code 6: 500ms, 10s, 2m.",
        ),
    ] = None,
    no_color: Annotated[
        bool,
        typer.Option(
            "--no-color",
            callback=_forbid_colour,
            is_eager=True,
            help="No colours, as with NO_COLOR in the environment; FORCE_COLOR is the opposite.",
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            callback=_be_quiet,
            is_eager=True,
            help="Say nothing on standard error but what went wrong.",
        ),
    ] = False,
) -> None:
    """Never called: typer reads the options here."""
