"""What a user that systemd makes up may reach."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..errors import ServiceProblem

# Where systemd lays what LoadCredential= names, for one service alone while that runs.
_CREDENTIALS_DIR = Path("/run/credentials")


def check_reach(path: Path) -> None:
    """Raises ServiceProblem where such a user may not walk to it."""
    for folder in path.parents:
        if os.path.isdir(folder) and not folder.stat().st_mode & stat.S_IXOTH:
            raise ServiceProblem(
                f"{path} cannot be reached by the user that systemd makes up for a service:"
                f" {folder} is closed to others",
                "run it as one who may, with --run-as USER, or install cortex below /opt",
            )


def is_to_be_read(key_file: Path) -> bool:
    """Whether there is or will be a key, so that none is made, and others than its owner may read
    it: a group's is read with SupplementaryGroups= in a drop-in.
    """
    if is_credential(key_file):
        return True
    try:
        return bool(key_file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
    except OSError:
        return False


def is_credential(path: Path) -> bool:
    return path.is_relative_to(_CREDENTIALS_DIR)
