"""What a peer has learned and keeps from one life to the next: parts of one file, by name.

Each part belongs to one writer, and leaves the others' as they are. What cannot be read is as good
as nothing, and a disk that takes nothing costs the memory and no more. Not for the event loop.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

from .private_file import write_private


def read_part(path: Path, name: str) -> Any:
    """What was kept under the name; None where nothing was."""
    return _read(path).get(name)


def write_part(path: Path, name: str, plain: Any) -> None:
    """`plain` is what JSON knows."""
    with contextlib.suppress(OSError), _alone(path):
        write_private(path, json.dumps({**_read(path), name: plain}))


@contextlib.contextmanager
def _alone(path: Path) -> Generator[None]:
    """No other part is written at the time, in this thread or another one. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path.with_suffix(".lock"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[str, Any]:
    try:
        plain: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return cast(dict[str, Any], plain) if isinstance(plain, dict) else {}
