"""The options that every command has, and those of all that ask a peer: put there once, not typed
into each signature.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import typer
from typer.core import TyperOption

from .config import forbid_colour
from .durations import parse_duration
from .options import be_verbose, invocation_of

# Those that wait for a peer's answer.
_ASKING = (
    *("chat", "status", "ps", "doctor", "models", "plan", "load", "unload", "pull"),
    *("pin", "unpin", "cancel", "drain", "undrain", "bench", "logs"),
)
_DAY_S = 86_400.0


def share(command: Any, name: str) -> None:
    """Give a command, and the commands below it, the options of all."""
    for below in getattr(command, "commands", {}).values():
        share(below, name)
    own = {option for parameter in command.params for option in parameter.opts}
    for option in _options(is_asking=name in _ASKING):
        if not own & set(option.opts):
            command.params.append(option)


def _options(*, is_asking: bool) -> list[TyperOption]:
    shown: dict[str, Any] = {"expose_value": False, "show_envvar": True}
    plain: dict[str, Any] = {**shown, "is_flag": True, "is_eager": True}
    quiet = TyperOption(
        param_decls=["--quiet", "-q"],
        envvar="CORTEX_QUIET",
        callback=_be_quiet,
        help="Say nothing on standard error but what went wrong.",
        **plain,
    )
    no_colour = TyperOption(
        param_decls=["--no-color"],
        envvar="CORTEX_NO_COLOR",
        callback=_forbid_colour,
        help="No colours, as with NO_COLOR in the environment; FORCE_COLOR is the opposite.",
        **plain,
    )
    verbose = TyperOption(
        param_decls=["--verbose", "-v"],
        envvar="CORTEX_VERBOSE",
        callback=_be_verbose,
        help="Log to standard error, and show the stack of an unexpected error.",
        **plain,
    )
    timeout = TyperOption(
        param_decls=["--timeout"],
        metavar="TIME",
        envvar="CORTEX_TIMEOUT",
        callback=_set_timeout,
        help="Give up after this, with exit code 6: 500ms, 10s, 2m.",
        **shown,
    )
    return [*([timeout] if is_asking else []), no_colour, quiet, verbose]


def _be_verbose(context: typer.Context, _: Any, wished: bool) -> None:
    be_verbose(context, wished)


def _be_quiet(context: typer.Context, _: Any, wished: bool) -> None:
    # Errors are told by whoever ran the command, who has held the real one since before.
    if wished and not context.resilient_parsing:
        nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - the context closes it
        sys.stderr = context.with_resource(nowhere)


def _forbid_colour(context: typer.Context, _: Any, wished: bool) -> None:
    if wished and not context.resilient_parsing:
        invocation_of(context).colour_wish = False
        forbid_colour()


def _set_timeout(context: typer.Context, _: Any, text: str | None) -> None:
    """Ends the command as ctrl-c does: whatever is interrupted well is timed out well."""
    if text is None or context.resilient_parsing:
        return
    invocation = invocation_of(context)
    invocation.timeout_s = parse_duration(0.001, _DAY_S)(text)

    def interrupt(*_: object) -> None:
        invocation.is_late = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, invocation.timeout_s)
