"""The user that a service of the machine is to run as: what of models is theirs already, and
folders that are made for them.

What their shell says of places is not known here: sudo takes it away.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from pwd import struct_passwd

from ..errors import ServiceProblem


def find_user(name: str) -> struct_passwd:
    """By name or number, as systemd takes either. Raises ServiceProblem where there is none."""
    try:
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        raise ServiceProblem(
            f"there is no user {name!r:.80} on this machine",
            "name one that is there with --run-as, or leave it out: systemd makes one up",
        ) from None


def models_of(user: struct_passwd) -> Path:
    """Where peers of their own keep models."""
    return Path(user.pw_dir, ".local", "share", "cortex", "models")


def hub_home_of(user: struct_passwd) -> Path:
    """Where Hugging Face's tools keep their models and token."""
    return Path(user.pw_dir, ".cache", "huggingface")


def make_folder(folder: Path, user: struct_passwd | None) -> None:
    """With those above it; what was not there is the user's, if one is named. Raises OSError."""
    new = [one for one in (folder, *folder.parents) if not os.path.lexists(one)]
    folder.mkdir(parents=True, exist_ok=True)
    if user is not None:
        for one in new:
            # Where somebody has put a link in its place meanwhile, what it leads to is not theirs.
            os.chown(one, user.pw_uid, user.pw_gid, follow_symlinks=False)
