"""Folders that root makes for the user of a service.

Root walks where others may write: each folder is held open while the next one is looked for, and
links are followed where root has made them. So nobody puts another place there meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from pwd import struct_passwd

# As many links as the kernel follows.
_MAX_LINKS = 40
# Services of systemd are Linux's, but this is read on macOS too.
_O_PATH = getattr(os, "O_PATH", os.O_RDONLY)
_OPENED = _O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


def make_folder(folder: Path, user: struct_passwd) -> None:
    """With those above it, which are whose the folder is that they lie in. Raises OSError."""
    where, names, num_links = os.open("/", _OPENED), list(folder.absolute().parts[:0:-1]), 0
    try:
        while names:
            name, above = names.pop(), where
            try:
                where = _entered(above, name, None if names else user)
            except NotADirectoryError:
                num_links += 1
                target = Path(_target(above, name))
                if num_links > _MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
                names += [one for one in reversed(target.parts) if one != "/"]
                where = os.open("/" if target.is_absolute() else ".", _OPENED, dir_fd=above)
            os.close(above)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None
    finally:
        os.close(where)


def _entered(above: int, name: str, user: struct_passwd | None) -> int:
    """The folder, made where it is not there: the user's alone, else of whoever has the one above.
    Raises OSError.
    """
    try:
        return os.open(name, _OPENED, dir_fd=above)
    except FileNotFoundError:
        os.mkdir(name, 0o700, dir_fd=above)
    made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    try:
        if user is None:
            whose = os.fstat(above)
            os.fchmod(made, 0o755)
            os.fchown(made, whose.st_uid, whose.st_gid)
        else:
            os.fchown(made, user.pw_uid, user.pw_gid)
    except OSError:
        os.close(made)
        raise
    return made


def _target(above: int, name: str) -> str:
    """Where a link leads that root, or whoever runs this, has made. Raises OSError."""
    link = os.open(name, _O_PATH | os.O_NOFOLLOW, dir_fd=above)
    try:
        found = os.fstat(link)
        if not stat.S_ISLNK(found.st_mode):
            raise OSError(errno.ENOTDIR, f"{name} is no folder")
        if found.st_uid not in (0, os.geteuid()):
            raise OSError(errno.EPERM, f"{name} is somebody's link: name where it leads")
        return os.readlink("", dir_fd=link)
    finally:
        os.close(link)
