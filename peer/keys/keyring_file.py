"""The file of fleet keys as commands and running peers share it: made once, changed by one at a
time, followed by peers that run.

What stands in it is the ring's business.
"""

from __future__ import annotations

from pathlib import Path

from cortex.engine.errors import CortexError

from ..private_file import held
from .fleet_key import RandomBytes, new_fleet_key
from .keyring import Keyring, read_keyring, write_keyring


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

    It follows a rotation. A file that is gone, is broken, or has none of its keys is of another
    fleet or of nobody: that is for the next start. Raises OSError for one that cannot be read.
    """
    try:
        now = read_keyring(path)
    except CortexError:
        return None
    if now is None or now == before or not {*now.trusted, *now.retired} & set(before.trusted):
        return None
    return now
