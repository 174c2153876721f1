"""The options that more than one command takes: written once, so that they mean the same.

What is a setting has a name in the environment too, that of the option (`shared_options`); what
belongs to one question has none, and says `show_envvar=False`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from . import completing
from .config import Invocation
from .durations import parse_duration
from .errors import UsageProblem
from .places import parse_peer


def invocation_of(context: typer.Context) -> Invocation:
    return cast(Invocation, context.find_root().obj)


def be_verbose(context: typer.Context, wished: bool) -> bool:
    # The documentation is made from contexts that run nothing and belong to no invocation.
    if wished and not context.resilient_parsing:
        invocation_of(context).verbose = True
    return wished


def _keep_state(context: typer.Context, folder: Path | None) -> Path | None:
    if folder is not None and not context.resilient_parsing:
        invocation_of(context).keep_state_in(folder)
    return folder


def _read_settings(context: typer.Context, named: Path | None) -> Path | None:
    """Eager: what a file says must be known when the other options are read."""
    if not context.resilient_parsing:
        invocation = invocation_of(context)
        invocation.read_settings(named)
        context.default_map = invocation.settings.options_of(context.info_name or "")
    return named


def typed(context: typer.Context, name: str) -> bool:
    """Whether an option's value was typed or stands in the environment, and so goes before the
    file's.
    """
    source = context.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")


def on_command_line(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def nothing_before(context: typer.Context, subcommand: str) -> None:
    """Of a command that can stand alone: an option typed before the subcommand that would not
    reach it. Raises UsageProblem; those that say how the whole program runs hold anywhere.
    """
    typed_before = [
        option.opts[0]
        for option in context.command.params
        if on_command_line(context, option.name or "")
        and (option.expose_value or option.name == "config")
    ]
    if typed_before:
        raise UsageProblem(
            f"what stands before {subcommand} is not for it: {' and '.join(typed_before)}.",
            f"put it behind: {context.command_path} {subcommand} {' '.join(typed_before)} …",
        )


def port_option(default_port: int) -> Any:
    """`--port`, of a command that listens there where nothing else is said."""
    return typer.Option(
        "--port",
        metavar="N",
        min=0,
        max=65535,
        help=f"Which port; 0 takes any. Otherwise {default_port}; if busy, {default_port + 2} and"
        " so on.",
    )


def model_option(says: str) -> Any:
    """`--model`, of a command that asks one."""
    return typer.Option("--model", "-m", metavar="ID", autocompletion=completing.models, help=says)


def on_option(says: str) -> Any:
    """`--on`, the peer that something is about."""
    return typer.Option(
        "--on", metavar="PEER", autocompletion=completing.peers, help=says, show_envvar=False
    )


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        callback=_read_settings,
        is_eager=True,
        help="Settings. Otherwise cortex.toml here, in the user's or the system's configuration.",
    ),
]
Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where to listen.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Peer = Annotated[
    str | None,
    typer.Option(
        "--peer",
        metavar="HOST:PORT",
        parser=parse_peer,
        autocompletion=completing.addresses,
        help="Ask this peer, and no other.",
    ),
]
ModelWord = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        autocompletion=completing.models,
        help="Which one, as `cortex models` lists it.",
    ),
]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Print the job's id, and do not wait for its end.")
]
On = Annotated[
    str | None,
    on_option(
        "On the peer of that name, as `cortex status` lists it. Otherwise on the one that is"
        " asked, or where it must be."
    ),
]
ContextTokens = Annotated[
    int | None,
    typer.Option(
        "--context",
        metavar="TOKENS",
        min=1,
        help="How long one conversation may be, as far as the model goes. Otherwise what fits.",
    ),
]
Slots = Annotated[
    int | None,
    typer.Option(
        "--slots", metavar="N", min=1, help="How many requests run at a time. Otherwise what fits."
    ),
]
PeerWord = Annotated[
    str | None,
    typer.Argument(
        metavar="[PEER]",
        parser=parse_peer,
        autocompletion=completing.addresses,
        help="Whose view, as HOST:PORT, like --peer. Otherwise that of a peer of this machine.",
    ),
]


def asked_peer(context: typer.Context, word: str | None, option: str | None) -> str | None:
    """The peer of a command that takes it as a word and as an option, whose environment variable
    yields to the word. Raises UsageProblem where both were typed and are not the same.
    """
    if word is not None and on_command_line(context, "peer") and word != option:
        raise UsageProblem(f"{word} and --peer {option} are two peers.", "ask one at a time")
    return word or option


Refresh = Annotated[
    float,
    typer.Option(
        "--refresh",
        metavar="TIME",
        parser=parse_duration(0.5, 3600),
        help="Show what changes no oftener than this. Otherwise 1s.",
        show_default=False,
    ),
]
StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        metavar="DIR",
        file_okay=False,
        callback=_keep_state,
        help="Where a peer keeps what it must remember, and where commands look for it. Otherwise"
        " as `cortex config path` shows; on Linux ~/.local/state/cortex.",
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        callback=be_verbose,
        is_eager=True,
        help="Log to standard error, and show the stack of an unexpected error.",
    ),
]
