"""The user that a service of the machine is to run as, and what of models is theirs already.

What their shell says of places is not known here: sudo takes it away.
"""

from __future__ import annotations

import pwd
from pathlib import Path
from pwd import struct_passwd

from ..errors import ServiceProblem


def find_user(name: str) -> struct_passwd:
    """By name or number, as systemd takes either. Raises ServiceProblem where there is none."""
    try:
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError, ValueError):
        raise ServiceProblem(
            f"there is no user {name!r:.80} on this machine",
            "name one that is there with --run-as, or leave it out: systemd makes one up",
        ) from None


def data_home_of(user: struct_passwd) -> Path:
    """Where each of their programs keeps its data in a folder of its own."""
    return Path(user.pw_dir, ".local", "share")


def hub_home_of(user: struct_passwd) -> Path:
    """Where Hugging Face's tools keep their models and token."""
    return Path(user.pw_dir, ".cache", "huggingface")
