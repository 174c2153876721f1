"""What the commands about fleet keys do to the file of keys, and to what was kept of another fleet.

Each changes it whole, alone, and says what it did; a key is shown by nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .errors import ConfigProblem, UsageProblem

if TYPE_CHECKING:
    from cortex.peer.keys.fleet_key import FleetKey
    from cortex.peer.keys.keyring import Keyring

# Where a peer keeps addresses of peers it has met.
_MET = "peers.json"
_MAX_LINE_BYTES = 4096
_JOIN_LINE = re.compile(r"^\s*(?:\$\s*)?cortex\s+join\s+")
_KEY_ID = re.compile(r"[0-9a-f]{8}")
_NO_KEY_HINT = "`cortex peer` makes one at its first start; to join a fleet: cortex join KEY"


def key_in(words: Sequence[str], stdin: BinaryIO | None) -> FleetKey:
    """The key that was typed, or where that is -, in a line that comes by standard input.

    The line may be the one that `cortex key` prints. Raises InvalidFleetKey.
    """
    from cortex.peer.keys.fleet_key import parse_fleet_key

    typed = " ".join(words)
    if typed == "-":
        typed = "" if stdin is None else stdin.readline(_MAX_LINE_BYTES).decode(errors="replace")
    return parse_fleet_key("".join(_JOIN_LINE.sub("", typed).split()))


def id_in(word: str) -> bytes:
    """Raises UsageProblem for what is no key's name."""
    if _KEY_ID.fullmatch(word.lower()) is None:
        raise UsageProblem(
            "a key is named by its 8 hexadecimal digits.", "see them with: cortex key list"
        )
    return bytes.fromhex(word)


def kept_ring(path: Path) -> Keyring:
    """Raises ConfigProblem where there is none."""
    from cortex.peer.keys.keyring import read_keyring

    with _told(path):
        ring = read_keyring(path)
    if ring is None:
        raise ConfigProblem(f"there is no fleet key in {path}", _NO_KEY_HINT)
    return ring


def is_held(path: Path, key: FleetKey) -> bool:
    """Raises ConfigProblem."""
    from cortex.peer.keys.keyring import read_keyring

    with _told(path):
        ring = read_keyring(path)
    return ring is not None and key in ring.trusted


def change(path: Path, changed: Callable[[Keyring], Keyring]) -> Keyring:
    """The ring that is kept there from now on. Raises what `changed` does, or ConfigProblem."""
    from cortex.peer.keys.keyring import write_keyring
    from cortex.peer.private_file import held

    with _told(path), held(path):
        ring = changed(kept_ring(path))
        write_keyring(path, ring)
        return ring


def become_member(path: Path, state_dir: Path, key: FleetKey, *, may_leave: bool) -> Path | None:
    """Let the next start be one of the key's fleet; where the keys of another fleet were put.

    Raises UsageProblem where that would be left and may not be.
    """
    from cortex.peer.keys.keyring import Keyring, read_keyring, write_keyring
    from cortex.peer.private_file import held

    with _told(path), held(path):
        kept = read_keyring(path)
        if kept is not None and key in kept.trusted:
            write_keyring(path, kept.using(key.key_id))
            return None
        if kept is not None and not may_leave:
            raise UsageProblem(
                f"this is a member of another fleet, {kept.primary.key_id.hex()}.",
                "to leave that one, add --yes: its key is kept beside the new one's file",
            )
        put_aside = None if kept is None else _put_aside(path, kept, state_dir)
        write_keyring(path, Keyring(key))
        return put_aside


def leave_fleet(path: Path, state_dir: Path) -> tuple[Keyring, Path]:
    """The ring of the fleet that was left, and where it was put.

    Raises ConfigProblem where there is none.
    """
    from cortex.peer.private_file import held

    with _told(path), held(path):
        ring = kept_ring(path)
        aside = _put_aside(path, ring, state_dir)
        path.unlink(missing_ok=True)
        return ring, aside


def _put_aside(path: Path, ring: Keyring, state_dir: Path) -> Path:
    aside = path.with_name(f"{path.name}.left-{ring.primary.key_id.hex()}")
    aside.unlink(missing_ok=True)
    try:
        # The file stays until another replaces it, which then belongs to whom this one did.
        aside.hardlink_to(path)
    except OSError:  # a file system that has no such links
        path.replace(aside)
    (state_dir / _MET).unlink(missing_ok=True)  # nobody there would talk to us
    return aside


@contextmanager
def _told(path: Path) -> Generator[None]:
    from cortex.peer.private_file import next_step

    try:
        yield
    except OSError as error:
        elsewhere = "name a folder of your own with --state-dir, or a file with --key-file"
        raise ConfigProblem(
            f"cannot use {path}: {error.strerror or error}", next_step(error, path, elsewhere)
        ) from None
