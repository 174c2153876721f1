"""Which release of cortex this is: the version of the installed package, and where it came from a
checkout or straight from git also the commit, which is what differs between two of them. It reads
git's files and runs no git.
"""

from __future__ import annotations

import functools
import json
import re
import shlex
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

_DISTRIBUTION = "cortex-fleet"
_EXTRA = "engine"

# Where a checkout has its .git. Of a wheel it is the package's own folder, which has none.
CHECKOUT = Path(__file__).resolve().parents[1]
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
# As many everywhere: git's own short names grow with what else is in a clone.
_SHORT_CHARS = 10


@functools.cache
def own_release() -> str:
    """What this process runs, whatever is installed later."""
    return installed_release()


def installed_release(root: Path = CHECKOUT) -> str:
    package = distribution(_DISTRIBUTION)
    commit = _commit(root / ".git") or _commit_of(package)
    return package.version + (f"+{commit[:_SHORT_CHARS]}" if commit else "")


def updated_since(release: str, root: Path = CHECKOUT) -> str:
    """The release that is installed by now, where it is another one."""
    try:
        now = installed_release(root)
    except PackageNotFoundError:  # it is being replaced
        now = "none"
    return "" if now == release else now


def install_engine(root: Path = CHECKOUT) -> str:
    """What has this Python find the packages that compute; the shell's pip may be another one's."""
    if find_spec("pip") is None:  # uv makes environments without
        return f"install cortex again with its extra `{_EXTRA}`: {sys.executable} has no pip"
    if (root / "pyproject.toml").is_file():
        wanted = ["-c", str(root / "constraints.txt"), "-e", f"{root}[{_EXTRA}]"]
    else:
        wanted = _of_extra(distribution(_DISTRIBUTION))
    return shlex.join([sys.executable, "-m", "pip", "install", *wanted])


def _of_extra(package: Distribution) -> list[str]:
    """By themselves: no package index has a release of cortex yet. None of them has a condition
    besides the extra.
    """
    asked = (requirement.partition(";") for requirement in package.requires or ())
    marker_of_extra = f"extra == '{_EXTRA}'"
    return [
        wanted.strip()
        for wanted, _, marker in asked
        if marker.strip().replace('"', "'") == marker_of_extra
    ]


def _commit_of(package: Distribution) -> str:
    """What the installer wrote down (PEP 610); nothing where it was told of no commit."""
    try:
        origin = json.loads(package.read_text("direct_url.json") or "{}")
        commit = str(cast(dict[str, Any], origin)["vcs_info"]["commit_id"])
    except (ValueError, LookupError, TypeError):
        return ""
    return commit if _COMMIT.fullmatch(commit) else ""


def _commit(git: Path) -> str:
    """What is checked out; nothing where that cannot be read."""
    elsewhere = _read(git)
    if elsewhere.startswith("gitdir:"):  # a further worktree's, or a submodule's
        git = git.parent / elsewhere.removeprefix("gitdir:").strip()
    head = _read(git / "HEAD").strip()
    if not head.startswith("ref:"):
        return head if _COMMIT.fullmatch(head) else ""
    ref = head.removeprefix("ref:").strip()
    # The worktrees of one repository share its branches.
    common = git / _read(git / "commondir").strip()
    commit = _read(common / ref).strip() or _packed(common, ref)
    return commit if _COMMIT.fullmatch(commit) else ""


def _packed(git: Path, ref: str) -> str:
    for line in _read(git / "packed-refs").splitlines():
        commit, _, name = line.partition(" ")
        if name == ref:
            return commit
    return ""


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):  # a broken one may lead to no path at all
        return ""
