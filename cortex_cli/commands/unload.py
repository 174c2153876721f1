"""`cortex unload`, `cortex pin` and `cortex unpin`: what becomes of a model in an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..options import Json, ModelWord, On, Peer, StateDir, Verbose, invocation_of

if TYPE_CHECKING:
    from ..config import Invocation


def unload(
    context: typer.Context,
    model: ModelWord,
    on: On = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="End what it is answering; unload it though it is pinned."),
    ] = False,
    as_json: Json = False,
    peer: Peer = None,
    state_dir: StateDir = None,
    verbose: Verbose = False,
) -> None:
    """Unload a model, once it has answered what it is answering.

    \b
      cortex unload qwen3.6-27b
      cortex unload qwen3.6-27b --on beast --force
    """
    from ..ordering import orders_of, waited_for
    from ..output import standard_output

    invocation = invocation_of(context)
    orders, output = orders_of(invocation, peer), standard_output()
    body = {"model": model, "peer": on, "force": force, "wait": False}
    job = waited_for(invocation, orders, orders.call("POST", "/models/unload", body))
    if as_json:
        output.json({"schema": 1, **job})
    else:
        output.line(f"{job['model']} is in no engine of {job['peer']}")


def pin(
    context: typer.Context,
    model: ModelWord,
    on: On = None,
    as_json: Json = False,
    peer: Peer = None,
    state_dir: StateDir = None,
    verbose: Verbose = False,
) -> None:
    """Keep a model where it is: it makes no room for others, and does not go when it is idle.

    \b
      cortex pin qwen3.6-27b
      cortex pin qwen3.6-27b --on beast

    It holds until the peer ends; for longer, say so in models.toml.
    """
    told = _order(invocation_of(context), peer, "pin", {"model": model, "peer": on})
    _show(told, "is pinned on", as_json=as_json)


def unpin(
    context: typer.Context,
    model: ModelWord,
    on: On = None,
    as_json: Json = False,
    peer: Peer = None,
    state_dir: StateDir = None,
    verbose: Verbose = False,
) -> None:
    """Let a model go again where others need its place.

    \b
      cortex unpin qwen3.6-27b
    """
    told = _order(invocation_of(context), peer, "unpin", {"model": model, "peer": on})
    _show(told, "is not pinned on", as_json=as_json)


def _order(
    invocation: Invocation, peer: str | None, what: str, body: dict[str, Any]
) -> dict[str, Any]:
    from ..ordering import orders_of

    return orders_of(invocation, peer).call("POST", f"/models/{what}", body)


def _show(told: dict[str, Any], words: str, *, as_json: bool) -> None:
    from ..output import standard_output

    output = standard_output()
    if as_json:
        output.json({"schema": 1, **told})
    else:
        output.line(f"{told['model']} {words} {told['peer']}")
