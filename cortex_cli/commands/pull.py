"""`cortex pull`: have a peer fetch a model from Hugging Face."""

from __future__ import annotations

from typing import Annotated

import typer

from ..options import Json, NoWait, On, Peer, invocation_of


def pull(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Which repository, by its name there.",
        ),
    ],
    on: On = None,
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision",
            metavar="REV",
            help="Its branch, tag or commit. Otherwise main.",
            show_envvar=False,
        ),
    ] = None,
    no_wait: NoWait = False,
    as_json: Json = False,
    peer: Peer = None,
) -> None:
    """Fetch a model from Hugging Face into a peer's first folder of models.

    \b
      cortex pull Qwen/Qwen3.5-4B
      cortex pull Qwen/Qwen3.5-4B --on beast --revision main
      cortex pull Qwen/Qwen3.5-4B --no-wait --json

    The peer fetches what it reads and no more, checks each file by its hash, and offers the model
    when all of it is there. Ctrl-c ends the pull; what has come stays, and the next one goes on
    from there, as it does after a crash. With --no-wait it goes on by itself.

    HF_TOKEN, or what `hf auth login` has kept for the peer's user, opens what is not public;
    HF_ENDPOINT names a mirror and HTTPS_PROXY a proxy, in the peer's environment.
    """
    from ..ordering import orders_of, waited_for
    from ..output import standard_output
    from ..pulling import outcome, stop

    invocation = invocation_of(context)
    orders = orders_of(invocation, peer)
    body = {"model": model, "revision": revision, "peer": on, "wait": False}
    job = orders.call("POST", "/models/pull", body)
    if not no_wait:
        job = waited_for(invocation, orders, job, stop)
    words = job["id"] if no_wait else outcome(job)
    standard_output().either(job, [words], as_json=as_json)
