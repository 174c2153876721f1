"""`cortex plan`: what loading a model would do."""

from __future__ import annotations

from typing import Annotated

import typer

from ..options import ContextTokens, Json, ModelWord, Peer, Slots, invocation_of, on_option


def plan(
    context: typer.Context,
    model: ModelWord,
    on: Annotated[
        str | None,
        on_option("For the peer of that name alone. Otherwise for the best one of the fleet."),
    ] = None,
    tokens: ContextTokens = None,
    slots: Slots = None,
    as_json: Json = False,
    peer: Peer = None,
) -> None:
    """Show what loading a model would do, and why not elsewhere; nothing is done.

    \b
      cortex plan qwen3.6-35b-a3b
      cortex plan qwen3.6-35b-a3b --on beast --context 32768

    What a load would take is counted part by part, and what would have to go for it is named.
    Exits with 5 where no peer has a place.
    """
    from cortex.peer.onlooker.plan_pictures import read_planned
    from cortex.peer.onlooker.plan_wording import plan_lines
    from cortex.peer.onlooker.understanding import understood

    from ..diagnostics import NO_MODEL
    from ..ordering import orders_of
    from ..output import standard_output

    body = {"model": model, "peer": on, "context": tokens, "slots": slots}
    told = orders_of(invocation_of(context), peer).call("POST", "/models/plan", body)
    output = standard_output()
    lines = () if as_json else plan_lines(understood(read_planned, told))
    with output.outlived():
        output.either(told, lines, as_json=as_json)
    if told["plan"] is None:
        raise typer.Exit(NO_MODEL)
