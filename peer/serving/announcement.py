"""The note a running peer leaves for local commands: which process, which address, which key.

One file a peer, written whole or not at all, for its owner alone to read, removed at the end. A
reader believes none of it: a killed peer leaves its note behind, so whoever reads one asks the
address before using it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from ..addresses import authority
from ..errors import CannotAnnounce
from ..locations import Locations
from ..onlooker.reading import Told, read
from ..private_file import next_step, write_private
from .state_lock import UNKNOWN, holder_of


@dataclass(frozen=True, slots=True)
class Announcement:
    """`host` is what to connect to, never a wildcard.

    `key` opens this one run of the peer to whoever may read the note, where it wants keys at all.
    """

    node: str
    pid: Annotated[int, Told(read=int)]
    host: str
    port: int
    started_s: int
    key: str | None = None

    @property
    def address(self) -> str:
        return authority(self.host, self.port)


@contextmanager
def announced(folder: Path, announcement: Announcement) -> Generator[None]:
    """Leave the note for as long as the block lasts, and clear away those of killed peers.

    Raises CannotAnnounce where the folder is not ours to write in.
    """
    path = folder / f"{announcement.node}.json"
    try:
        _clear_away(folder)
        write_private(path, json.dumps(asdict(announcement)))
    except OSError as error:
        raise CannotAnnounce(
            f"cannot leave a note for local commands in {folder}: {error.strerror or error}",
            next_step(error, path, "name a folder of your own with --state-dir"),
        ) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # whoever reads a note left behind asks the address
            path.unlink()


def find_announcements(locations: Locations) -> tuple[Announcement, ...]:
    """Those of all peers that a command with these locations can find, each address once, the
    youngest first. One that was started without a runtime directory, as by cron, left its note in
    the state directory alone.
    """
    found: list[Announcement] = []
    for folder in locations.note_dirs:
        notes = read_announcements(folder)
        if notes and folder == locations.state_dir:
            # These outlive the machine's run, and their numbers may be others' by then: there the
            # lock alone says which peer runs; one that started on a full disk left no number in it.
            holder = holder_of(folder)
            notes = tuple(note for note in notes if holder in (str(note.pid), UNKNOWN))
        found += notes
    youngest: dict[str, Announcement] = {}
    for note in sorted(found, key=_started_s, reverse=True):
        youngest.setdefault(note.address, note)
    return tuple(youngest.values())


def read_announcements(folder: Path) -> tuple[Announcement, ...]:
    """The notes of peers whose process still lives, the youngest first.

    A folder that cannot be looked into holds none for us.
    """
    try:
        paths = list(folder.glob("*.json"))
    except OSError:
        return ()
    found = (_read(path) for path in paths)
    living = [note for note in found if note is not None and _is_alive(note.pid)]
    return tuple(sorted(living, key=_started_s, reverse=True))


def _started_s(note: Announcement) -> int:
    return note.started_s


def _clear_away(folder: Path) -> None:
    """Raises OSError."""
    for path in folder.glob("*.json"):
        note = _read(path)
        if note is not None and not _is_alive(note.pid):
            path.unlink(missing_ok=True)


def _read(path: Path) -> Announcement | None:
    """A note, or None for any other file that lies there."""
    try:
        return read(Announcement, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError, OverflowError, RecursionError):
        return None


def _is_alive(pid: int) -> bool:
    if pid <= 0:
        return False
    with contextlib.suppress(PermissionError):  # it lives, and belongs to somebody else
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
    return True
