"""One peer a state directory: two of one identity would be fought over by the whole fleet.

The kernel gives the lock back with the process, however that ends. The number of the process stands
in the file for whoever comes second.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import CannotKeepIdentity, StateInUse
from ..private_file import next_step

_NAME = "peer.lock"
# In place of the number of whoever holds it, where that could not be written.
UNKNOWN = "unknown"
_MAX_PID_BYTES = 20
# Whoever looks who holds the lock shares it, far shorter than this.
_LOOK_S = 0.05
# A link in its place would have somebody else's file made, or emptied, by whoever starts the peer.
_FLAGS = os.O_RDWR | os.O_NOFOLLOW


@contextmanager
def only_peer_of(state_dir: Path) -> Generator[None]:
    """Nobody else is the peer of this directory while the block lasts.

    Raises StateInUse where somebody is, and CannotKeepIdentity.
    """
    descriptor = _open(state_dir)
    try:
        _take(descriptor, state_dir)
        yield
    finally:
        os.close(descriptor)


def holder_of(state_dir: Path) -> str | None:
    """The process of the peer that runs with this directory, as a word; None where none does, or
    nobody may know.
    """
    try:
        descriptor = os.open(state_dir / _NAME, _FLAGS)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_holder(descriptor)
    finally:
        os.close(descriptor)
    return None


def _open(state_dir: Path) -> int:
    path = state_dir / _NAME
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(path, _FLAGS | os.O_CREAT, 0o600)
    except OSError as error:
        raise CannotKeepIdentity(
            f"cannot write {path}: {error.strerror or error}",
            next_step(error, path, "name a folder of your own with --state-dir"),
        ) from None


def _take(descriptor: int, state_dir: Path) -> None:
    if not _try_to_take(descriptor):
        time.sleep(_LOOK_S)
        if not _try_to_take(descriptor):
            raise StateInUse(
                f"a peer runs with the state directory {state_dir} (process"
                f" {_read_holder(descriptor)})",
                "look at it with `cortex status`; another one takes --state-dir DIR of its own",
            )
    # Who holds the lock does so without a word as well, and a full disk takes none.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def _try_to_take(descriptor: int) -> bool:
    """Whether the lock is ours now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_holder(descriptor: int) -> str:
    pid = os.pread(descriptor, _MAX_PID_BYTES, 0).decode("ascii", "replace").strip()
    return pid or UNKNOWN
