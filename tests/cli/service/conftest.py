"""`cortex service` in this process, beside a systemd and users that are made up."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from cortex.cli import main
from cortex.cli.config import read_environment
from cortex.cli.service import systemctl

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The exit code, standard output and standard error of `cortex service ARGUMENTS`."""
    for name in ("NO_MDNS", "FLEET_HOST", "FLEET_PORT"):
        monkeypatch.delenv(f"CORTEX_{name}")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main.run(["service", *arguments], read_environment({}))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl that writes down what it is told, and answers `show` for a service that runs.

    Beside it is a setpriv that writes down the same, and does all with the rights of the tests.
    Where there is a file `refuses` systemctl carries out nothing, and where there is one
    `unreachable` it answers nothing either: each holds what it says then.
    """
    calls, program = tmp_path / "calls", tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {calls}\n'
        f"cat {tmp_path}/unreachable >&2 2>/dev/null && exit 1\n"
        'case "$*" in *show*) echo ActiveState=active; echo SubState=running; echo MainPID=42;\n'
        "echo NRestarts=0; echo UnitFileState=enabled; exit 0;; esac\n"
        f"cat {tmp_path}/refuses >&2 2>/dev/null && exit 1\nexit 0\n"
    )
    setpriv = program.with_name("setpriv")
    setpriv.write_text(
        f'#!/bin/sh\necho "$@" >> {calls}\n'
        'while [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n'
    )
    for one in (program, setpriv):
        one.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setattr(systemctl, "_BOOTED", tmp_path)
    return calls


@pytest.fixture
def units_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where installed units lie, the machine's and a user's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "config" / "systemd" / "user"
    monkeypatch.setattr(systemctl, "_SYSTEM_DIR", folder)
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of `me`, who is whoever runs the tests, and of a `stranger`; whom else this machine
    knows is left out.
    """
    folder = tmp_path / "home of me"

    def getpwnam(name: str) -> pwd.struct_passwd:
        ids = {"me": (os.getuid(), os.getgid()), "stranger": (54321, 54321)}
        return pwd.struct_passwd((name, "x", *ids[name], "", str(folder), "/bin/sh"))

    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    return folder
