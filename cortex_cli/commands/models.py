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
    """List the models that can be asked.

    The first one is asked where none is named; with a picture, the first that sees pictures.
    """
    from ..backends import choose_backend
    from ..bridge import bridge
    from ..diagnostics import show_logs, standard_error
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
    output = standard_output()
    if as_json:
        output.json({"schema": 1, "peer": peer_name, "models": [_as_json(m) for m in found]})
    elif found:
        output.table(("MODEL", "CONTEXT", "IMAGES"), [_row(model) for model in found])
    else:
        diagnostics.line("no models here; name a folder that holds some: --models DIR")


def _as_json(model: ModelInfo) -> dict[str, Any]:
    return {
        "id": model.id,
        "capabilities": list(model.capabilities),
        "context_tokens": model.context_length,
    }


def _row(model: ModelInfo) -> tuple[str, str, str]:
    return model.id, f"{model.context_length:,}", "yes" if model.sees_images else "no"
