"""When make takes the environment that is there, and what it says of one that it cannot take."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

LIBRARY = f"lib/python{sys.version_info.major}.{sys.version_info.minor}"


# A pip that installs nothing is all that make asks of an environment.
PYTHON = f"""#!/bin/sh
[ "$1" = -m ] || exec {sys.executable} "$@"
{sys.executable} "$@" --without-pip && cd .venv/{LIBRARY}/site-packages && mkdir pip &&
    touch pip/__init__.py pip/__main__.py
"""


def make(root: Path, *told: str) -> subprocess.CompletedProcess[str]:
    # What the make above these tests was told is not for this one.
    variables = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *told, ".venv/.installed"],
        cwd=root,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def installed(checkout: Path, tmp_path: Path) -> Path:
    """A checkout in which make has installed cortex, as little of it as make looks at."""
    root = tmp_path / "cortex"
    root.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(checkout / name, root)
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    done = make(root, f"PYTHON={python}")
    assert (done.returncode, done.stderr) == (0, "")
    return root


def contents(root: Path) -> set[str]:
    files = (path.relative_to(root) for path in root.rglob("*"))
    return {str(file) for file in files if "__pycache__" not in file.parts}


def stay(root: Path) -> Path:
    return root


def link(root: Path) -> Path:
    other = root.with_name("worktree")
    shutil.copytree(root, other, symlinks=True, ignore=shutil.ignore_patterns(".venv"))
    (other / ".venv").symlink_to(root / ".venv")
    return other


def greet(root: Path) -> Path:
    line = "import sys; print('welcome'); print('hello', file=sys.stderr)\n"
    (root / ".venv" / LIBRARY / "site-packages" / "greeting.pth").write_text(line)
    return root


def move(root: Path) -> Path:
    return root.rename(root.with_name("moved here"))


def copy(root: Path) -> Path:
    return Path(shutil.copytree(root, root.with_name("copy"), symlinks=True))


def lose_python(root: Path) -> Path:
    for name in (root / ".venv" / "bin").glob("python*"):
        name.unlink()
    return root


def upgrade_python(root: Path) -> Path:
    (root / ".venv" / LIBRARY).rename(root / ".venv" / "lib" / "python3.1")
    return root


def kill_python(root: Path) -> Path:
    python = lose_python(root) / ".venv" / "bin" / "python"
    python.write_text("#!/bin/sh\nkill -9 $$\n")
    python.chmod(0o755)
    return root


@pytest.mark.parametrize("happen", [stay, link, greet])
def test_an_environment_of_this_place_is_taken(
    installed: Path, happen: Callable[[Path], Path]
) -> None:
    root = happen(installed)
    before = contents(root)
    done = make(root)
    assert done.returncode == 0
    assert "installing" not in done.stdout
    assert contents(root) == before


@pytest.mark.parametrize(
    ("happen", "what"),
    [
        (move, "was made as {installed}/.venv"),
        (copy, "was made as {installed}/.venv"),
        (lose_python, "does not run"),
        (upgrade_python, "No module named 'pip'"),
        (kill_python, "does not run"),
    ],
)
def test_of_an_environment_that_cannot_be_used_make_says_so_and_deletes_nothing(
    installed: Path, happen: Callable[[Path], Path], what: str
) -> None:
    root = happen(installed)
    before = contents(root)
    done = make(root)
    assert done.returncode != 0
    assert what.format(installed=installed) in done.stderr
    assert f"in {root}/.venv " in done.stderr
    assert "make clean" in done.stderr
    assert "installing" not in done.stdout
    assert contents(root) == before
