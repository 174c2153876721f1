"""The peers that run on this machine, as a command that changes what they start with names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cortex.peer.config import Locations


def name_running(locations: Locations) -> str | None:
    """That a peer which runs goes on as it began; None where none runs."""
    from cortex.peer.serving.announcement import read_announcements
    from cortex.peer.serving.state_lock import holder_of

    # A note in a state directory outlives the machine's run, and its number may be another's by
    # then: there the lock alone says whether a peer runs.
    folder = locations.announcements_dir
    notes = () if folder == locations.state_dir else read_announcements(folder)
    pids = ", ".join(str(note.pid) for note in notes) or holder_of(locations.state_dir)
    if pids is None:
        return None
    return f"restart the peer that runs (process {pids}): until then it stays as it is"
