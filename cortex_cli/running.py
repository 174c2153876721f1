"""The peers that run on this machine, as a command that changes what they start with names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cortex.peer.config import Locations


def name_running(locations: Locations) -> str | None:
    """That a peer which runs goes on as it began; None where none runs."""
    from cortex.peer.serving.announcement import find_announcements
    from cortex.peer.serving.state_lock import holder_of

    found = dict.fromkeys(str(note.pid) for note in find_announcements(locations))
    # One that only begins has the lock, and no note yet.
    pids = ", ".join(found) or holder_of(locations.state_dir)
    if pids is None:
        return None
    return f"restart the peer that runs (process {pids}): until then it stays as it is"
