"""The options about models and what computes them, of commands that may compute by themselves."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import typer

from cortex.engine.wishes import (
    DtypeWish,
    EngineChoice,
    KernelsWish,
    ModeWish,
    SpeculationWish,
)

from .errors import NotThereYet, UsageProblem
from .options import on_command_line
from .sizes import parse_size


def _that_exist(folders: list[Path] | None) -> list[Path] | None:
    """Raises NotThereYet."""
    for folder in folders or ():
        if not os.path.exists(folder):
            raise NotThereYet(f"Invalid value for '--models': Directory '{folder}' does not exist.")
    return folders


ModelsDirs = Annotated[
    list[Path] | None,
    typer.Option(
        "--models",
        metavar="DIR",
        file_okay=False,
        callback=_that_exist,
        help="Search this folder for models first (may be given again).",
    ),
]
Engine = Annotated[
    EngineChoice,
    typer.Option("--engine", help="torch computes; fake makes up text at once, without weights."),
]
FakeScript = Annotated[
    Path | None,
    typer.Option(
        "--fake-script",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help='Replies of the fake engine: {"replies": ["…"]}.',
    ),
]
FakeTokenInterval = Annotated[
    int,
    typer.Option(
        "--fake-token-interval-ms",
        metavar="MS",
        min=0,
        max=60_000,
        help="How long the fake engine takes for one token.",
    ),
]
Memory = Annotated[
    int | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        parser=parse_size,
        help="What the engine may use of its device's memory, such as 8GiB. Otherwise most of it.",
        show_default=False,  # a file's would be told in bytes
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=1,
        max=1024,
        help="Compute with so many threads where the CPU computes. Otherwise one a core.",
    ),
]
Mode = Annotated[
    ModeWish,
    typer.Option(
        "--mode",
        help="exact: the same bits in any company, in float32 on the CPU; fast: the quickest way."
        " auto is exact where that costs little.",
    ),
]
Dtype = Annotated[
    DtypeWish,
    typer.Option(
        "--dtype",
        help="Compute in these numbers. auto is bfloat16 where the files hold that, or float16"
        " (of which three bits go), and it pays.",
    ),
]
Kernels = Annotated[
    KernelsWish,
    typer.Option(
        "--kernels",
        help="On a CPU, auto compiles kernels of our own where a C compiler is installed; torch's"
        " are slower and need none. On a GPU, auto takes Triton's where that is installed,"
        " a C compiler and Python.h too.",
    ),
]
Speculation = Annotated[
    SpeculationWish,
    typer.Option(
        "--speculation",
        help="auto computes tokens ahead of an answer that says again what was said, or that the"
        " model's own draft head foresees, where that is measured to pay. In exact mode it is the"
        " same answer either way.",
    ),
]


@dataclass(frozen=True, slots=True)
class EngineWishes:
    """Which models there are and what computes them; a running peer has wishes of its own."""

    models: ModelsDirs = None
    threads: Threads = None
    memory: Memory = None
    mode: Mode = "auto"
    dtype: Dtype = "auto"
    kernels: Kernels = "auto"
    speculation: Speculation = "auto"
    engine: Engine = "torch"
    fake_script: FakeScript = None
    fake_token_interval_ms: FakeTokenInterval = 0


def typed_for_own_node(context: typer.Context) -> list[str]:
    """Those options that were typed and that no running peer would obey.

    The environment does not count: it holds for the running peer as well. Raises UsageProblem
    where a peer was typed too.
    """
    names = [each.name for each in fields(EngineWishes) if on_command_line(context, each.name)]
    given = [f"--{name.replace('_', '-')}" for name in names]
    if given and on_command_line(context, "peer"):
        raise UsageProblem(
            f"--peer asks a peer, which computes as it was started: {' and '.join(given)} would"
            " change nothing.",
            f"leave out {' and '.join(given)}, or --peer to compute here",
        )
    return given
