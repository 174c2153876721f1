"""Files that nobody else may read, written whole or not at all, and by one at a time.

They stay whose they were where root writes them: the peer that reads them is another user's.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

# What a full disk, or a user's share of it, is told by.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_private(path: Path, text: str) -> None:
    """Raises OSError; what stood there before stands there then."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_suffix(f".{os.getpid()}.new")
    try:
        temporary.unlink(missing_ok=True)
        # Made for its owner alone: nobody opens it in the moment before its mode is set.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            _give_to_owner(descriptor, path, _lock_of(path), path.parent)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def write_new(path: Path, text: str) -> None:
    """Raises FileExistsError for what is there, and OSError; half a file is never left."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def next_step(error: OSError, path: Path, elsewhere: str) -> str:
    """For whoever could not keep the file there. On a full disk they are not sent `elsewhere`: all
    that is kept there, a peer's identity and its keys, would be left behind.
    """
    return f"make room on the disk of {path.parent}" if error.errno in DISK_FULL else elsewhere


@contextmanager
def held(path: Path) -> Generator[None]:
    """Nobody else who asks so changes the file while the block lasts: in this thread, in another
    one, in another process. The lock is a file beside it, because the file itself is replaced with
    every change.

    Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = _open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _open_lock(path: Path) -> int:
    """Raises OSError."""
    lock = _lock_of(path)
    # For writing: a file system of the network locks no others. Through no link: root would make
    # the file that it leads to, anywhere.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    try:
        descriptor = os.open(lock, flags | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(lock, flags, 0o600)
    _give_to_owner(descriptor, path, path.parent)
    return descriptor


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _give_to_owner(descriptor: int, *places: Path) -> None:
    """What root has just made goes to whoever owns the first of these that is there."""
    if os.geteuid() != 0:
        return
    for place in places:
        with suppress(FileNotFoundError):
            whose = os.stat(place, follow_symlinks=place == places[-1])
            os.fchown(descriptor, whose.st_uid, whose.st_gid)
            return
