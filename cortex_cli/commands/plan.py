"""`cortex plan`: what loading a model would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..options import Json, Peer, StateDir, Verbose, invocation_of

if TYPE_CHECKING:
    from cortex.peer.onlooker.asking import Asking, Door


def plan(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Its id, or an alias of it.")],
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            metavar="NAME",
            help="Plan for the peer of that name alone. Otherwise for the best one.",
            show_default=False,
        ),
    ] = None,
    context_tokens: Annotated[
        int | None,
        typer.Option(
            "--context",
            metavar="TOKENS",
            min=1,
            max=2**31,
            help="With so much context. Otherwise as much as there is room for.",
            show_default=False,
        ),
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option(
            "--slots",
            metavar="N",
            min=1,
            max=2**16,
            help="For so many requests at a time. Otherwise for as many as there is room for.",
            show_default=False,
        ),
    ] = None,
    peer: Peer = None,
    as_json: Json = False,
    state_dir: StateDir = None,
    verbose: Verbose = False,
) -> None:
    """Show what loading a model would do, and why not elsewhere; nothing is done.

    \b
      cortex plan qwen3.6-35b-a3b
      cortex plan qwen3.6-35b-a3b --on beast --context 32768

    What a load would take is counted byte by byte, and what would have to go for it is named.
    Exits with 5 where no peer has a place.
    """
    from ..diagnostics import NO_MODEL
    from ..doors import find_doors, first_answer
    from ..output import standard_output
    from ..plan_lines import plan_lines

    body = {"model": model, "peer": on, "context": context_tokens, "slots": slots}

    def ask(asking: Asking, door: Door) -> dict[str, Any]:
        return asking.order(door, "POST", "/models/plan", body)

    doors = find_doors(invocation_of(context), peer)
    told = first_answer(doors, ask, "ask another: cortex plan --peer HOST:PORT")
    output = standard_output()
    if as_json:
        output.json({"schema": 1, **told})
    else:
        for line in plan_lines(told):
            output.line(line)
    if told["plan"] is None:
        raise typer.Exit(NO_MODEL)
