"""`cortex chat`: one answer, or a conversation.

It asks a running peer when there is one and a private node otherwise; which of them it was makes
no difference here.
"""

from __future__ import annotations

import random
import shutil
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import EngineWishes, Invocation, peer_config
from ..errors import UsageProblem
from ..options import (
    Engine,
    FakeScript,
    FakeTokenInterval,
    Json,
    ModelsDirs,
    Peer,
    Verbose,
    invocation_of,
)

if TYPE_CHECKING:
    from cortex.engine.types import ImagePart
    from cortex.peer.client import Backend

    from ..bridge import Bridge
    from ..conversation import Conversation
    from ..diagnostics import Diagnostics
    from ..output import Output
    from ..progress import ProgressLine
    from ..teller import Form

_MAX_SEED = 2**63 - 1
_MAX_TOKENS = 2**31 - 1


def chat(
    context: typer.Context,
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="[PROMPT]",
            help="What to ask; - reads it from standard input. A pipe is put after it.",
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            "--image",
            "-i",
            metavar="FILE",
            help="A picture to ask about (may be given again); - reads it from standard input.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="ID",
            envvar="CORTEX_MODEL",
            help="Which model answers; `cortex models` lists them. Otherwise the first of them.",
            show_default=False,
        ),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(
            "--system",
            "-s",
            metavar="TEXT",
            envvar="CORTEX_SYSTEM",
            help="What the model should know beforehand.",
            show_default=False,
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-tokens",
            metavar="N",
            envvar="CORTEX_MAX_TOKENS",
            min=1,
            max=_MAX_TOKENS,
            help="Cut the answer there.",
            show_default=False,
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature",
            metavar="X",
            envvar="CORTEX_TEMPERATURE",
            min=0.0,
            help="0 always takes the likeliest token. Otherwise what the model recommends.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            metavar="N",
            envvar="CORTEX_SEED",
            min=0,
            max=_MAX_SEED,
            help="The same seed gives the same answer again.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    raw: Annotated[
        bool,
        typer.Option("--raw", envvar="CORTEX_RAW", help="Print the model's text and nothing else."),
    ] = False,
    peer: Peer = None,
    models: ModelsDirs = None,
    engine: Engine = "torch",
    fake_script: FakeScript = None,
    fake_token_interval_ms: FakeTokenInterval = 0,
    verbose: Verbose = False,
) -> None:
    """Ask a model about text and pictures.

    With a prompt or a pipe: one answer on standard output, everything else on standard error.
    With neither, at a terminal: a conversation. A running peer of this machine answers; where
    there is none, this command computes by itself, on the CPU.

    \b
      cortex chat "What is the total?" --image receipt.png
      git diff | cortex chat "write the commit message" --raw > message.txt
      cortex chat
    """
    from ..conversation import Conversation, Wishes
    from ..diagnostics import show_logs, standard_error
    from ..output import standard_output
    from ..pictures import FROM_STDIN, read_picture
    from ..question import checked_text, find_prompt, look_at

    if as_json and raw:
        raise UsageProblem("--json and --raw exclude each other.")
    invocation = invocation_of(context)
    show_logs(verbose=invocation.verbose)
    diagnostics = standard_error(can_redraw=invocation.can_redraw)
    pictures = image or []
    if pictures.count(FROM_STDIN) > 1:
        raise UsageProblem("standard input holds one picture; --image - was given twice.")
    question = find_prompt(
        prompt,
        look_at(sys.stdin.buffer if sys.stdin else None),
        stdin_is_picture=FROM_STDIN in pictures,
        notice=diagnostics.line,
    )
    conversation = Conversation(
        Wishes(
            model=model or "",
            system=None if system is None else checked_text(system, "--system"),
            max_tokens=max_tokens,
            temperature=temperature,
        ),
        pictures=[read_picture(name, sys.stdin.buffer) for name in pictures],
    )
    wishes = EngineWishes(models, engine, fake_script, fake_token_interval_ms)
    form: Form = "json" if as_json else "raw" if raw else "plain"
    with _talk(invocation, wishes, peer, conversation, form, seed) as talk:
        ...
