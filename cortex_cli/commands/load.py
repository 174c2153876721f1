"""`cortex load`: have a model loaded, on any peer of the fleet."""

from __future__ import annotations

from typing import Annotated

import typer

from ..options import ContextTokens, Json, ModelWord, NoWait, On, Peer, Slots, invocation_of


def load(
    context: typer.Context,
    model: ModelWord,
    on: On = None,
    tokens: ContextTokens = None,
    slots: Slots = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Load it though the plan says that it has no place, if the engine takes it.",
        ),
    ] = False,
    no_wait: NoWait = False,
    as_json: Json = False,
    peer: Peer = None,
) -> None:
    """Load a model, and wait until it is there.

    \b
      cortex load qwen3.6-27b
      cortex load qwen3.6-27b --on beast --context 32768 --slots 4
      cortex load qwen3.6-27b --no-wait --json

    What has to make room goes first; cortex plan shows it beforehand. Without --on a plan is for
    the best peer of the fleet; a load is tried at the one that is asked, and where that one has no
    copy, no room or no luck at the next best, eight in all. The load goes on where the command is
    interrupted.
    """
    from ..ordering import orders_of, placement_lines, waited_for
    from ..output import standard_output

    invocation = invocation_of(context)
    orders, extent = orders_of(invocation, peer), {"context": tokens, "slots": slots}
    body = {"model": model, "peer": on, **extent, "wait": False, "force": force}
    job = orders.call("POST", "/models/load", body)
    if not no_wait:
        job = waited_for(invocation, orders, job)
    lines = [job["id"]] if no_wait else placement_lines(job["placement"])
    standard_output().either(job, lines, as_json=as_json)
