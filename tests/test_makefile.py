"""When make takes the environment that is there, and when it makes one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

LIBRARY = f"lib/python{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def installed(checkout: Path, tmp_path: Path) -> Path:
    """A checkout in which make has installed cortex, as little of it as make looks at."""
    root = tmp_path / "cortex"
    (root / "engine").mkdir(parents=True)
    (root / "engine" / "__init__.py").touch()
    (root / ".links" / "cortex").mkdir(parents=True)
    (root / ".links" / "cortex" / "engine").symlink_to("../../engine")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(checkout / name, root)
    environment = root / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    links = environment / LIBRARY / "site-packages" / "_cortex_fleet.pth"
    links.write_text(f"{root / '.links'}\n")
    (environment / ".installed").touch()
    later_s = time.time() + 60
    os.utime(environment / ".installed", (later_s, later_s))
    return root


def installs_anew(root: Path) -> bool:
    """Whether `make demo` would, and then from nothing."""
    told = subprocess.run(
        ["make", "-n", "demo"], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    assert ("-m venv --clear .venv" in told) == ("pip install" in told)
    return "pip install" in told


def stay(root: Path) -> Path:
    return root


def link(root: Path) -> Path:
    other = root.with_name("worktree")
    shutil.copytree(root, other, symlinks=True, ignore=shutil.ignore_patterns(".venv"))
    (other / ".venv").symlink_to(root / ".venv")
    return other


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


@pytest.mark.parametrize("happen", [stay, link])
def test_an_environment_of_this_place_is_taken(
    installed: Path, happen: Callable[[Path], Path]
) -> None:
    assert not installs_anew(happen(installed))


@pytest.mark.parametrize("happen", [move, copy, lose_python, upgrade_python])
def test_an_environment_of_another_place_or_python_is_made_anew(
    installed: Path, happen: Callable[[Path], Path]
) -> None:
    assert installs_anew(happen(installed))
