"""Folders that the user of a service makes for themselves: root's rights are lent to no path that
others may have laid links in.
"""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from pwd import struct_passwd

from ..errors import ServiceProblem

_TIMEOUT_S = 120.0


def make_folder(folder: Path, user: struct_passwd) -> None:
    """With those above it. Raises ServiceProblem with what is in the way."""
    rights = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"]
    command = ["setpriv", *rights, "mkdir", "-p", "-m", "700", "--", str(folder)]
    try:
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceProblem(
            f"{shlex.join(command)} failed: {error}", how_to_make(folder, user)
        ) from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise ServiceProblem(
            f"{user.pw_name} cannot make {folder}: {said}", how_to_make(folder, user)
        )


def how_to_make(folder: Path, user: struct_passwd) -> str:
    quoted = shlex.quote(str(folder))
    return f"make it for them: sudo install -d -o {user.pw_name} -m 700 {quoted}"
