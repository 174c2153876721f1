"""How many files and connections a peer may have open at once, as the system bounds it."""

from __future__ import annotations

import resource
from contextlib import suppress

# Each connection is one, and so is each file. More than this nobody needs, and where there is no
# bound some systems take none.
_MOST = 65_536


def allow_open_files() -> None:
    """From now on as many as the system lets this process have: what it begins with is often 1024,
    fewer than the connections that two doors take.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):  # some systems allow less than they tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
