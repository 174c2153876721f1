"""What a crash leaves on the disk of the memory it happened in. Standard library only."""

from __future__ import annotations

import resource


def leave_no_core_dump() -> None:
    """For this process and those it starts: memory holds prompts and keys.

    Whoever looks for a fault can allow it again: prlimit --core=unlimited --pid PID.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
