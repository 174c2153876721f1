"""Which release of cortex this is: the version of the installed package, and in a checkout also the
commit, which is what differs between two of them. It reads git's files and runs no git.
"""

from __future__ import annotations

import functools
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_DISTRIBUTION = "cortex-fleet"
# No package index has a release yet.
INSTALL_ENGINE = "in cortex's checkout: pip install -c constraints.txt -e '.[engine]'"

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
    commit = _commit(root / ".git")
    return version(_DISTRIBUTION) + (f"+{commit[:_SHORT_CHARS]}" if commit else "")


def updated_since(release: str, root: Path = CHECKOUT) -> str:
    """The release that is installed by now, where it is another one."""
    try:
        now = installed_release(root)
    except PackageNotFoundError:  # it is being replaced
        now = "none"
    return "" if now == release else now


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
