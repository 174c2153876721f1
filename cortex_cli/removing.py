"""A model's files taken from this machine's disks: which may go, and how they go at once or not at
all.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ModelStays

if TYPE_CHECKING:
    from cortex.peer.config import PeerConfig
    from cortex.peer.onlooker.pictures import FleetPicture
    from cortex.peer.types import ModelInfo

    from .config import Invocation


def pictures_here(invocation: Invocation) -> list[FleetPicture]:
    """Those of all peers of this machine that left a note and run.

    Raises ModelStays where one of them does not tell: who is only silent may have it in an engine.
    """
    from cortex.peer.errors import NoPeer
    from cortex.peer.onlooker.asking import Asking

    from .doors import find_doors

    pictures: list[FleetPicture] = []
    for door in find_doors(invocation, None):
        try:
            pictures.append(Asking().fleet(door).picture)
        except NoPeer as error:
            # Nobody listens there: the process of the note is another one by now.
            if isinstance(error.__cause__, ConnectionRefusedError):
                continue
            raise ModelStays(
                f"the peer at {door.address} does not say what it has in its engines",
                f"ask again, or stop it first: {error.message}",
            ) from None
    return pictures


def find_here(model_id: str, config: PeerConfig, pictures: Iterable[FleetPicture]) -> ModelInfo:
    """One of this machine's disks. Raises ModelNotFound, which names the peers that have it."""
    from cortex.engine.errors import ModelNotFound
    from cortex.peer.models.catalogue import scan

    here = scan(config)
    peers = [peer for picture in pictures for peer in picture.peers if not peer.is_asked]
    holders = sorted({peer.name for peer in peers if model_id in peer.stored})
    if holders and all(model.id != model_id for model in here.models):
        raise ModelNotFound(
            f"{model_id} is not on this machine's disks",
            f"it lies on {', '.join(holders)}: run there what you ran here",
        )
    return here.find(model_id)


def removable_dir(model: ModelInfo, config: PeerConfig) -> Path:
    """The model's folder. Raises ModelStays where it is not ours to remove."""
    from cortex.peer.models.catalogue import embedded_dir, is_in_hub_cache

    assert model.dir is not None, "a model on this machine's disks lies somewhere"
    folder = model.dir.resolve()
    if folder == embedded_dir(config).resolve():
        raise ModelStays(f"{model.id} is part of cortex itself")
    if is_in_hub_cache(folder, config.locations.hub_dir):
        raise ModelStays(
            f"{model.id} lies in the Hugging Face cache, which other programs use as well",
            "remove it with their own tool: hf cache rm",
        )
    if any(one.source is not None and one.source.resolve() == folder for one in config.models):
        raise ModelStays(f"models.toml names the folder of {model.id}", "take it out there first")
    return folder


def must_be_idle(model: ModelInfo, pictures: Iterable[FleetPicture]) -> None:
    """`pictures` are those of the peers of this machine. Raises ModelStays where one has it."""
    for picture in pictures:
        asked = picture.asked
        if asked is not None and any(one.id == model.id for one in asked.models):
            raise ModelStays(
                f"{asked.name} has {model.id} in an engine",
                f"first: cortex unload {model.id} --on {asked.name}",
            )


def size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def remove(folder: Path) -> None:
    """Raises ModelStays. A folder that has gone half way is no model any more."""
    going = folder.with_name(f".removed-{folder.name}-{os.getpid()}")
    try:
        folder.rename(going)
        shutil.rmtree(going)
    except OSError as error:
        what = f"cannot remove {error.filename or folder}: {error.strerror or error}"
        raise ModelStays(what, "whose is it?") from None
    with contextlib.suppress(OSError):
        folder.parent.rmdir()  # ORG of ORG/NAME, if nothing else is in it
