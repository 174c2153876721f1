"""The user that a service of the machine is to run as: what of models is theirs already, and
folders that are made for them.

What their shell says of places is not known here: sudo takes it away.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from pathlib import Path
from pwd import struct_passwd

from ..errors import ServiceProblem

# As many links as the kernel follows.
_MAX_LINKS = 40
# Services of systemd are Linux's, but this is read on macOS too.
_O_PATH = getattr(os, "O_PATH", os.O_RDONLY)
_OPENED = _O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW


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


def may_write(user: struct_passwd | None, folder: Path) -> bool:
    """Whether they, or one that systemd makes up, may keep files there and walk to it, as far as
    there are folders. Where a list of access says more than the mode does, they are taken to.
    """
    there = [one for one in (folder, *folder.parents) if os.path.isdir(one)]
    needed = [stat.S_IWOTH | stat.S_IXOTH if one == folder else stat.S_IXOTH for one in there]
    return all(_may(user, one, bits) for one, bits in zip(there, needed, strict=True))


def make_folder(folder: Path, user: struct_passwd) -> None:
    """With those above it, which are whose the folder is that they lie in. Raises OSError.

    Root walks where others may write: each folder is held open while the next one is looked for,
    and links are followed where root has made them. So nobody puts another place there meanwhile.
    """
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
