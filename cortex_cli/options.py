"""The options that more than one command takes: written once, so that they mean the same.

What is a setting has a name in the environment too; what belongs to one question has none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from cortex.engine.wishes import DtypeWish, KernelsWish, ModeWish, SpeculationWish
from cortex.peer.config import EngineChoice

from . import completing
from .config import Invocation
from .durations import parse_duration
from .errors import UsageProblem
from .sizes import parse_size


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


def _on_command_line(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


# Which options say what a node of this command's own computes with; a running peer has its own.
_OF_OWN_NODE = (
    "models",
    "engine",
    "fake_script",
    "fake_token_interval_ms",
    "threads",
    "memory",
    "mode",
    "dtype",
    "kernels",
    "speculation",
)


def port_option(default_port: int) -> Any:
    """`--port`, of a command that listens there where nothing else is said."""
    return typer.Option(
        "--port",
        metavar="N",
        envvar="CORTEX_PORT",
        min=0,
        max=65535,
        help=f"Which port; 0 takes any. Otherwise {default_port}, or the next that is free.",
        show_default=False,
    )


def typed_for_own_node(context: typer.Context) -> list[str]:
    """Those options that were typed and that no running peer would obey.

    The environment does not count: it holds for the running peer as well. Raises UsageProblem
    where a peer was typed too.
    """
    names = [name for name in _OF_OWN_NODE if _on_command_line(context, name)]
    given = [f"--{name.replace('_', '-')}" for name in names]
    if given and _on_command_line(context, "peer"):
        raise UsageProblem(
            f"--peer asks a peer, which computes as it was started: {' and '.join(given)} would"
            " change nothing.",
            f"leave out {' and '.join(given)}, or --peer to compute here",
        )
    return given


ModelsDirs = Annotated[
    list[Path] | None,
    typer.Option(
        "--models",
        metavar="DIR",
        envvar="CORTEX_MODELS",
        exists=True,
        file_okay=False,
        help="Search this folder for models first (may be given again).",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="CORTEX_CONFIG",
        callback=_read_settings,
        is_eager=True,
        help="Settings. Otherwise cortex.toml here, in the user's or the system's configuration.",
        show_default=False,
    ),
]
Engine = Annotated[
    EngineChoice,
    typer.Option(
        "--engine",
        envvar="CORTEX_ENGINE",
        help="torch computes; fake makes up text at once, without weights.",
    ),
]
FakeScript = Annotated[
    Path | None,
    typer.Option(
        "--fake-script",
        metavar="FILE",
        envvar="CORTEX_FAKE_SCRIPT",
        exists=True,
        dir_okay=False,
        help='Replies of the fake engine: {"replies": ["…"]}.',
        show_default=False,
    ),
]
FakeTokenInterval = Annotated[
    int,
    typer.Option(
        "--fake-token-interval-ms",
        metavar="MS",
        envvar="CORTEX_FAKE_TOKEN_INTERVAL_MS",
        min=0,
        max=60_000,
        help="How long the fake engine takes for one token.",
    ),
]
Host = Annotated[
    str,
    typer.Option("--host", metavar="ADDRESS", envvar="CORTEX_HOST", help="Where to listen."),
]
Json = Annotated[
    bool, typer.Option("--json", envvar="CORTEX_JSON", help="Print JSON instead of text.")
]
Memory = Annotated[
    int | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        envvar="CORTEX_MEMORY",
        parser=parse_size,
        help="What the engine may use of its device's memory, such as 8GiB. Otherwise most of it.",
        show_default=False,
    ),
]
Peer = Annotated[
    str | None,
    typer.Option(
        "--peer",
        metavar="HOST:PORT",
        envvar="CORTEX_PEER",
        autocompletion=completing.addresses,
        help="Ask this peer, and no other.",
        show_default=False,
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
    bool,
    typer.Option(
        "--no-wait",
        envvar="CORTEX_NO_WAIT",
        help="Print the job's id, and do not wait for its end.",
    ),
]
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="PEER",
        autocompletion=completing.peers,
        help="On the peer of that name, as `cortex status` lists it. Otherwise on the one that is"
        " asked, or where it must be.",
        show_default=False,
    ),
]
ContextTokens = Annotated[
    int | None,
    typer.Option(
        "--context",
        metavar="TOKENS",
        envvar="CORTEX_CONTEXT",
        min=1,
        help="How long one conversation may be. Otherwise what fits.",
        show_default=False,
    ),
]
Slots = Annotated[
    int | None,
    typer.Option(
        "--slots",
        metavar="N",
        envvar="CORTEX_SLOTS",
        min=1,
        help="How many requests run at a time. Otherwise what fits.",
        show_default=False,
    ),
]
PeerWord = Annotated[
    str | None,
    typer.Argument(
        metavar="[PEER]",
        autocompletion=completing.addresses,
        help="Whose view, as HOST:PORT, like --peer. Otherwise that of a peer of this machine.",
        show_default=False,
    ),
]


def asked_peer(context: typer.Context, word: str | None, option: str | None) -> str | None:
    """The peer of a command that takes it as a word and as an option, whose environment variable
    yields to the word. Raises UsageProblem where both were typed and are not the same.
    """
    if word is not None and _on_command_line(context, "peer") and word != option:
        raise UsageProblem(f"{word} and --peer {option} are two peers.", "ask one at a time")
    return word or option


Refresh = Annotated[
    float,
    typer.Option(
        "--refresh",
        metavar="TIME",
        envvar="CORTEX_REFRESH",
        parser=parse_duration(0.5, 3600),
        help="Show what changes no oftener than this.",
    ),
]
StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        metavar="DIR",
        envvar="CORTEX_STATE_DIR",
        file_okay=False,
        callback=_keep_state,
        help="Where a peer keeps what it must remember, and where commands look for it.",
        show_default=False,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        envvar="CORTEX_THREADS",
        min=1,
        max=1024,
        help="Compute with so many threads where the CPU computes. Otherwise one a core.",
        show_default=False,
    ),
]
Mode = Annotated[
    ModeWish,
    typer.Option(
        "--mode",
        envvar="CORTEX_MODE",
        help="exact: the same bits in any company, in float32 on the CPU; fast: the quickest way."
        " auto is exact where that costs little.",
    ),
]
Dtype = Annotated[
    DtypeWish,
    typer.Option(
        "--dtype",
        envvar="CORTEX_DTYPE",
        help="Compute in these numbers. auto is bfloat16 where the files hold no more and it pays.",
    ),
]
Kernels = Annotated[
    KernelsWish,
    typer.Option(
        "--kernels",
        envvar="CORTEX_KERNELS",
        help="On a CPU, auto compiles kernels of our own where a C compiler is installed; torch's"
        " are slower and need none. On a GPU, auto takes Triton's where that is installed.",
    ),
]
Speculation = Annotated[
    SpeculationWish,
    typer.Option(
        "--speculation",
        envvar="CORTEX_SPECULATION",
        help="auto computes tokens ahead of an answer that says again what was said, where that is"
        " measured to pay. In exact mode it is the same answer either way.",
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        envvar="CORTEX_VERBOSE",
        callback=be_verbose,
        is_eager=True,
        help="Log to standard error, and show the stack of an unexpected error.",
    ),
]
