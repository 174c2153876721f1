"""What the user of a service may reach, who may be one that systemd makes up."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from pwd import struct_passwd

from ..errors import ServiceProblem

# Where systemd lays what LoadCredential= names, for one service alone while that runs.
_CREDENTIALS_DIR = Path("/run/credentials")


def may_write(user: struct_passwd | None, folder: Path) -> bool:
    """Whether they, or one that systemd makes up, may keep files there and walk to it; in the
    lowest folder there is, where it has yet to be made. Where a list of access says more than the
    mode does, they are taken to.
    """
    there = [one for one in (folder, *folder.parents) if os.path.isdir(one)]
    needed = [stat.S_IWOTH | stat.S_IXOTH if one == there[0] else stat.S_IXOTH for one in there]
    return all(_may(user, one, bits) for one, bits in zip(there, needed, strict=True))


def check_reach(path: Path) -> None:
    """Raises ServiceProblem where one that systemd makes up may not walk to it."""
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


def _may(user: struct_passwd | None, folder: Path, bits: int) -> bool:
    """`bits` are those of others."""
    found = os.stat(folder)
    if _has_list_of_access(folder):
        return True
    if user is None:
        return found.st_mode & bits == bits
    if user.pw_uid == 0:
        return True
    if found.st_uid == user.pw_uid:
        bits <<= 6
    elif found.st_gid in os.getgrouplist(user.pw_name, user.pw_gid):
        bits <<= 3
    return found.st_mode & bits == bits


def _has_list_of_access(folder: Path) -> bool:
    try:
        return "system.posix_acl_access" in os.listxattr(folder)
    except OSError:  # not every file system has them
        return False
