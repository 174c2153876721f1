"""`cortex models`: what can be asked here, one of them told in full, one taken from the disk."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..config import peer_config
from ..engine_options import Engine, EngineWishes, ModelsDirs, typed_for_own_node
from ..options import Json, ModelWord, Peer, invocation_of, nothing_before

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cortex.peer.config import PeerConfig
    from cortex.peer.types import ModelInfo

    from ..config import Invocation

models = typer.Typer(add_completion=False, rich_markup_mode=None)


@models.callback(invoke_without_command=True)
def listed(
    context: typer.Context,
    peer: Peer = None,
    models: ModelsDirs = None,
    engine: Engine = "torch",
    as_json: Json = False,
) -> None:
    """List the models that can be asked, and where in the fleet they are.

    \b
      cortex models
      cortex models show qwen3.5-4b
      cortex models --json | jq -r '.models[].id'

    A running peer tells what its fleet has: warm is in an engine, cold on a disk, with how long a
    load takes, and below them what is being pulled; with no peer running this machine's disks are
    read, the Hugging Face cache last. The first model is asked where none is named; with a
    picture, the first that sees pictures.
    """
    if context.invoked_subcommand is not None:
        nothing_before(context, context.invoked_subcommand)
        return
    from cortex.peer.client.backends import PRIVATE

    from ..diagnostics import standard_error
    from ..model_table import as_json as told
    from ..model_table import model_table
    from ..output import standard_output
    from ..pulling import pull_line, pulls_under_way

    invocation = invocation_of(context)
    plain = peer_config(invocation, EngineWishes(models, engine=engine))
    typed = typed_for_own_node(context)
    asked, found = _found(invocation, plain, peer, typed)
    answered = None if asked == PRIVATE else asked
    pulls, are_all = ([], True) if typed else pulls_under_way(invocation, answered)
    output = standard_output()
    if as_json:
        all_told = [told(model) for model in found]
        output.json({"peer": asked, "models": all_told, "pulls": pulls if are_all else None})
        return
    for line in model_table(found, width=output.width) if found else ():
        output.line(line)
    for job in pulls:
        output.line(pull_line(job))
    if not found and not pulls:
        fetch = "fetch one: cortex pull Qwen/Qwen3.5-4B; or name a folder: --models"
        unknown = "" if are_all else "one may be on its way that is not told here; "
        standard_error(invocation).line(f"no models here; {unknown}{fetch}")


@models.command("show")
def show(
    context: typer.Context,
    model: ModelWord,
    peer: Peer = None,
    models: ModelsDirs = None,
    engine: Engine = "torch",
    as_json: Json = False,
) -> None:
    """Show all that is known of a model: what it can, how large it is, where it is.

    \b
      cortex models show qwen3.5-4b
      cortex models show qwen3.5-4b --json | jq .where
    """
    from cortex.peer.models.catalogue import Catalogue, of_fleet, scan

    from ..model_table import as_json as told
    from ..model_table import model_lines
    from ..output import standard_output

    invocation = invocation_of(context)
    plain = _config(invocation, models, engine)
    asked, found = _found(invocation, plain, peer, typed_for_own_node(context))
    here = Catalogue(()) if peer is not None else scan(plain)
    is_of_fleet = any(one.where for one in found)
    all_told = of_fleet(found, here.unserved) if is_of_fleet else replace(here, models=found)
    wanted = all_told.find(model)
    files = wanted.dir or next((one.dir for one in here.models if one.id == wanted.id), None)
    value = {"peer": asked, **told(wanted), "files": files and str(files)}
    standard_output().either(value, model_lines(wanted, files), as_json=as_json)


@models.command("rm")
def rm(
    context: typer.Context,
    model: ModelWord,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether to.")] = False,
    models: ModelsDirs = None,
    engine: Engine = "torch",
    as_json: Json = False,
) -> None:
    """Remove a model's files from this machine's disks.

    \b
      cortex models rm qwen3.5-4b
      ssh beast cortex models rm qwen3.5-4b --yes

    One that a peer of this machine has in an engine stays: unload it first. So does every model
    while such a peer does not answer, and always those of the Hugging Face cache and the one that
    cortex brings along. Peers are known by the notes that they leave for their user's commands: a
    model that another user's peer has, or one with its own --state-dir, is to be unloaded there.
    """
    from cortex.peer.units import memory

    from ..confirming import must_confirm
    from ..output import standard_output
    from ..removing import (
        find_here,
        must_be_idle,
        pictures_here,
        removable_dir,
        remove,
        size_bytes,
    )

    invocation = invocation_of(context)
    plain = _config(invocation, models, engine)
    pictures = pictures_here(invocation)
    wanted = find_here(model, plain, pictures)
    folder = removable_dir(wanted, plain)
    must_be_idle(wanted, pictures)
    freed = size_bytes(folder)
    if not yes:
        must_confirm(f"remove {wanted.id}, {memory(freed)} in {folder}?", "--yes")
        must_be_idle(wanted, pictures_here(invocation))
    remove(folder)
    value = {"id": wanted.id, "files": str(folder), "freed_bytes": freed}
    words = f"removed {wanted.id}: {memory(freed)} are free again"
    standard_output().either(value, [words], as_json=as_json)


def _config(invocation: Invocation, models: Sequence[Path] | None, engine: Any) -> PeerConfig:
    # A subcommand's options are named after it in no file of settings.
    folders = [*(models or invocation.settings.models_dirs)]
    return peer_config(invocation, EngineWishes(folders, engine=engine))


def _found(
    invocation: Invocation, plain: PeerConfig, peer: str | None, typed: Sequence[str]
) -> tuple[str, tuple[ModelInfo, ...]]:
    """Who was asked, and what it told; TAB learns of it."""
    from ..backends import choose_backend
    from ..bridge import bridge
    from ..diagnostics import show_logs, standard_error
    from ..last_seen import LastSeen, keep
    from ..talker import cached_last

    show_logs(verbose=invocation.verbose)
    to = standard_error(invocation)
    opened = choose_backend(plain, peer, typed, to, api_key=invocation.api_key)
    with bridge() as loop, loop.entered(opened) as backend:
        found, asked = loop.call(backend.models()), backend.name
    peers = {one.peer for model in found for one in model.where}
    seen = LastSeen(tuple(model.id for model in found), tuple(sorted(peers)))
    keep(invocation.locations.cache_dir, seen, time.time())
    return asked, (*cached_last(found, invocation.locations.hub_dir),)
