"""`cortex unload`, `cortex pin` and `cortex unpin`: what becomes of a model in an engine."""

from __future__ import annotations

from typing import Annotated

import typer

from ..options import Json, ModelWord, On, Peer, invocation_of


def unload(
    context: typer.Context,
    model: ModelWord,
    on: On = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="End what it is answering; unload it though it is pinned.",
            show_envvar=False,
        ),
    ] = False,
    as_json: Json = False,
    peer: Peer = None,
) -> None:
    """Unload a model, once it has answered what it is answering.

    \b
      cortex unload qwen3.6-27b
      cortex unload qwen3.6-27b --on beast --force
    """
    from ..ordering import orders_of, waited_for
    from ..output import standard_output

    invocation = invocation_of(context)
    orders = orders_of(invocation, peer)
    body = {"model": model, "peer": on, "force": force, "wait": False}
    job = waited_for(invocation, orders, orders.call("POST", "/models/unload", body))
    words = f"{job['model']} is in no engine of {job['peer']}"
    standard_output().either(job, [words], as_json=as_json)


def pin(
    context: typer.Context,
    model: ModelWord,
    on: On = None,
    as_json: Json = False,
    peer: Peer = None,
) -> None:
    """Keep a model where it is: it makes no room for others, and does not go when it is idle.

    \b
      cortex pin qwen3.6-27b
      cortex pin qwen3.6-27b --on beast

    It holds until the peer ends; for longer, say so in models.toml.
    """
    _order(context, peer, "pin", model, on, "pinned", as_json=as_json)


def unpin(
    context: typer.Context,
    model: ModelWord,
    on: On = None,
    as_json: Json = False,
    peer: Peer = None,
) -> None:
    """Let a model go again where others need its place.

    \b
      cortex unpin qwen3.6-27b
    """
    _order(context, peer, "unpin", model, on, "not pinned", as_json=as_json)


def _order(
    context: typer.Context,
    peer: str | None,
    what: str,
    model: str,
    on: str | None,
    state: str,
    *,
    as_json: bool,
) -> None:
    from ..ordering import orders_of
    from ..output import standard_output

    orders = orders_of(invocation_of(context), peer)
    told = orders.call("POST", f"/models/{what}", {"model": model, "peer": on})
    words = f"{told['model']} is {state} on {told['peer']}"
    standard_output().either(told, [words], as_json=as_json)
