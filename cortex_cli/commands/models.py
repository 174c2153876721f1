"""`cortex models`: what can be asked here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from ..config import EngineWishes, peer_config
from ..options import (
    Config,
    Engine,
    Json,
    ModelsDirs,
    Peer,
    StateDir,
    Verbose,
    invocation_of,
    typed_for_own_node,
)

if TYPE_CHECKING:
    from cortex.peer.types import ModelInfo


def models(
    context: typer.Context,
    peer: Peer = None,
    state_dir: StateDir = None,
    models: ModelsDirs = None,
    engine: Engine = "torch",
    as_json: Json = False,
    config: Config = None,
    verbose: Verbose = False,
) -> None:
    """List the models that can be asked, and where in the fleet they are.

    \b
      cortex models
      cortex models --json | jq -r '.models[].id'

    A running peer tells what its fleet has: warm is in an engine, cold on a disk, with how long a
    load takes; with no peer running this machine's disks are read. The first model is asked where
    none is named; with a picture, the first that sees pictures.
    """
    import time

    from ..backends import choose_backend
    from ..bridge import bridge
    from ..diagnostics import show_logs, standard_error
    from ..last_seen import LastSeen, keep
    from ..model_table import model_table
    from ..output import standard_output

    invocation = invocation_of(context)
    show_logs(verbose=invocation.verbose)
    diagnostics = standard_error(can_redraw=invocation.can_redraw)
    opened = choose_backend(
        peer_config(invocation, EngineWishes(models, engine)),
        peer,
        typed_for_own_node(context),
        diagnostics,
        api_key=invocation.api_key,
    )
    with bridge() as loop, loop.entered(opened) as backend:
        found = loop.call(backend.models())
        peer_name = backend.name
    peers = {one.peer for model in found for one in model.where}
    seen = LastSeen(tuple(model.id for model in found), tuple(sorted(peers)))
    keep(invocation.locations.cache_dir, seen, time.time())
    output = standard_output()
    if as_json:
        output.json({"schema": 1, "peer": peer_name, "models": [_as_json(m) for m in found]})
    elif found:
        for line in model_table(found):
            output.line(line)
    else:
        diagnostics.line("no models here; name a folder that holds some: --models DIR")


def _as_json(model: ModelInfo) -> dict[str, Any]:
    return {
        "id": model.id,
        "capabilities": list(model.capabilities),
        "context_tokens": model.context_length,
        "size_bytes": model.size_bytes or None,
        "where": [
            {"peer": one.peer, "state": one.state, "eta_s": one.eta_s, "pinned": one.is_pinned}
            for one in model.where
        ],
    }
