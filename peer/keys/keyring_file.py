"""The file of fleet keys as commands and running peers share it: made once, changed by one at a
time, followed by peers that run.

What stands in it is the ring's business. The lock is a file beside it, because the file itself is
replaced with every change.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from cortex.engine.errors import CortexError

from .fleet_key import RandomBytes, new_fleet_key
from .keyring import Keyring, read_keyring, write_keyring


@contextmanager
def held(path: Path) -> Generator[None]:
    """Nobody else who asks so changes the file while the block lasts.

    Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Opened for writing: a file system of the network locks no others.
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def first_keyring(path: Path, random_bytes: RandomBytes) -> tuple[Keyring, bool]:
    """The ring that is kept, else one with a new key; and whether it is new.

    Of peers that start for the first time at once one makes it. Raises InvalidFleetKey and OSError.
    """
    kept = read_keyring(path)
    if kept is not None:
        return kept, False
    with held(path):
        kept = read_keyring(path)
        if kept is not None:
            return kept, False
        made = Keyring(new_fleet_key(random_bytes))
        write_keyring(path, made)
        return made, True


def keyring_changed(path: Path, before: Keyring) -> Keyring | None:
    """The ring in the file where a running peer is to go on with it, else None.

    It follows a rotation. A file that is gone, cannot be read, or has none of its keys is of
    another fleet or of nobody: that is for the next start.
    """
    try:
        now = read_keyring(path)
    except (CortexError, OSError):
        return None
    if now is None or now == before or not {*now.trusted, *now.retired} & set(before.trusted):
        return None
    return now
