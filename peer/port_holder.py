"""Which process has a port, as far as /proc tells: of processes of this user, and on Linux.

What cannot be read is as good as nobody; it changes in the meantime, so it is good for words alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
_TABLES = ("tcp", "tcp6", "udp", "udp6")
# The states of sockets that wait for whoever comes: TCP_LISTEN, and what UDP calls TCP_CLOSE.
_WAITING = ("0A", "07")


def in_use(port: int, proc: Path = PROC) -> str:
    """Goes on after the name of a port that could not be had."""
    holder = _holder(port, proc)
    return "is in use" if holder is None else f"is taken by {holder}"


def _holder(port: int, proc: Path) -> str | None:
    links = {f"socket:[{inode}]" for inode in _inodes(port, proc)}
    if not links:
        return None
    for process in proc.glob("[0-9]*"):
        with suppress(OSError):  # another user's, or one that has just ended
            if any(os.readlink(handle) in links for handle in (process / "fd").iterdir()):
                return f"process {process.name} ({(process / 'comm').read_text().strip()})"
    return None


def _inodes(port: int, proc: Path) -> Iterator[str]:
    for table in _TABLES:
        with suppress(OSError):
            for line in (proc / "net" / table).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] in _WAITING and int(words[1].rpartition(":")[2], 16) == port:
                    yield words[9]
