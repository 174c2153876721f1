"""The file that keeps a peer's node and generation from one run to the next, and the machine's id.

What cannot be read is as good as nothing: a new node is safe, an old one taken up wrongly is not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from ..keys.fleet_key import RandomBytes
from ..private_file import write_private
from .identity import Identity, NodeId, StoredNode, begun, next_stored
from .ids import ID_BYTES, U32

# systemd's, and D-Bus's where there is no systemd.
MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_MACHINE_HASH_CHARS = 16


class _Body(msgspec.Struct):
    node: Annotated[str, Meta(pattern=rf"\A[0-9a-f]{{{2 * ID_BYTES}}}\Z")]
    gen: U32
    machine: str = ""


def take_up(path: Path, machine: str, unix_time_s: int, random_bytes: RandomBytes) -> Identity:
    """The identity of the run that begins now; its generation is on disk when this returns.

    Raises OSError where it cannot be written.
    """
    stored = next_stored(read_node(path), machine, unix_time_s, random_bytes)
    write_node(path, stored)
    return begun(stored, random_bytes)


def read_node(path: Path) -> StoredNode | None:
    """What is kept there, or None."""
    try:
        body = msgspec.json.decode(path.read_bytes(), type=_Body)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return StoredNode(NodeId(bytes.fromhex(body.node)), body.gen, body.machine)


def write_node(path: Path, stored: StoredNode) -> None:
    """Raises OSError; what stood there before stands there then."""
    body = {"node": stored.node.hex(), "gen": stored.gen, "machine": stored.machine}
    write_private(path, json.dumps(body))


def machine_hash(files: Iterable[Path] = MACHINE_ID_FILES) -> str:
    """A hash of the machine's id, which itself is nobody's business; "" where there is none."""
    for path in files:
        try:
            machine_id = path.read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            continue
        if machine_id:
            seen = f"cortex/1/machine/{machine_id}".encode()
            return hashlib.sha256(seen).hexdigest()[:_MACHINE_HASH_CHARS]
    return ""
