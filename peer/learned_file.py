"""What a peer has learned and keeps from one life to the next: parts of one file, by name.

Each part belongs to one writer, and leaves the others' as they are. What cannot be read is as good
as nothing, and a disk that takes nothing costs the memory and no more. Not for the event loop.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, cast

from .private_file import held, write_private


def read_part(path: Path, name: str) -> Any:
    """What was kept under the name; None where nothing was."""
    return _read(path).get(name)


def write_part(path: Path, name: str, plain: Any) -> None:
    """`plain` is what JSON knows."""
    with contextlib.suppress(OSError), held(path):
        write_private(path, json.dumps({**_read(path), name: plain}))


def _read(path: Path) -> dict[str, Any]:
    try:
        plain: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return cast(dict[str, Any], plain) if isinstance(plain, dict) else {}
