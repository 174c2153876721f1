"""The fleet key on the disk, and the id of this peer: there, readable, and nobody else's."""

from __future__ import annotations

import stat
from pathlib import Path

from cortex.engine.errors import CortexError

from ..gossip.node_file import machine_hash, read_node
from ..keys.keyring import Keyring, read_keyring
from .findings import Finding, fail, ok, warn

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def look_at_key(path: Path) -> tuple[Keyring | None, Finding]:
    try:
        keyring = read_keyring(path)
    except CortexError as error:
        return None, fail("key", error.message, error.hint)
    except OSError as error:
        text = f"the fleet key in {path} cannot be read: {error.strerror or error}"
        return None, fail("key", text, f"sudo chown $USER {path}")
    if keyring is None:
        text = f"there is no fleet key in {path}"
        return None, warn("key", text, "cortex join KEY, or cortex peer, which makes one")
    return keyring, _judge(path, keyring)


def _judge(path: Path, keyring: Keyring) -> Finding:
    key_id, others = keyring.primary.key_id.hex(), len(keyring.others)
    said = f"fleet key {key_id}" + (f" and {others} more that are trusted" if others else "")
    mode = path.stat().st_mode
    if mode & _OTHERS:
        text = f"{said}: {path} can be read by others (mode {stat.S_IMODE(mode):04o})"
        return fail("key", text, f"chmod 600 {path}; if it was seen: cortex key new")
    return ok("key", f"{said}, in {path}")


def judge_node(path: Path, machine: str | None = None) -> list[Finding]:
    """Whether the id of this peer was made on this machine. Nothing is said before its first run.

    `machine` is this machine's hash, for tests.
    """
    stored = read_node(path)
    here = machine_hash() if machine is None else machine
    if stored is None:
        return []
    if stored.machine and here and stored.machine != here:
        text = f"{path} was copied from another machine: two peers would be {stored.node.hex()}"
        return [warn("id", text, "restart cortex peer here: it takes a new id by itself")]
    return [ok("id", f"this peer is {stored.node.hex()}")]
