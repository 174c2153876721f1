"""What systemd is asked and told about our units: thin, and the only place that runs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ServiceProblem

_TIMEOUT_S = 120.0
# What they wait for lasts as long as a drain may, which systemd bounds by what the peer tells it.
_PATIENT = ("disable", "restart")
_SYSTEM_DIR = Path("/etc/systemd/system")
# sd_booted(3): systemd runs this machine where this folder is.
_BOOTED = Path("/run/systemd/system")
_ASKED = ("LoadState", "UnitFileState", "ActiveState", "SubState", "Result", "MainPID", "NRestarts")
_ASKED_TOO = ("StatusText", "ActiveEnterTimestamp")
# How systemctl begins to say that it reaches nobody; what follows differs by release.
_UNREACHABLE = re.compile(r"Failed to connect to\b.*\bbus\b")


@dataclass(frozen=True, slots=True)
class Manager:
    """The systemd of the whole machine, or of one user."""

    is_system: bool
    units_dir: Path

    def must_run(self) -> None:
        """Raises ServiceProblem where there is no systemd to order anything of."""
        if not _BOOTED.is_dir() or shutil.which("systemctl") is None:
            raise ServiceProblem(
                "systemd does not run this machine",
                "`cortex service install --print` shows the unit; elsewhere have `cortex peer`"
                " started by what starts services there",
            )

    def must_answer(self) -> None:
        """Raises ServiceProblem where it runs, and cannot be told anything from here."""
        self.call("show", "--property=Version")

    def unit_file(self, name: str) -> Path:
        return self.units_dir / name

    def state(self, name: str) -> dict[str, str]:
        """What systemd says of a unit, by the names of its properties."""
        properties = ",".join((*_ASKED, *_ASKED_TOO))
        told = self.call("show", name, f"--property={properties}")
        return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)

    def call(self, *words: str) -> str:
        """What it printed. Raises ServiceProblem with what it said."""
        command = ["systemctl", *self._scope, *words]
        limit_s = None if words[0] in _PATIENT else _TIMEOUT_S
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServiceProblem(f"{' '.join(command)} failed: {error}") from None
        if done.returncode:
            said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
            raise ServiceProblem(f"{' '.join(command)} failed: {said}", self._hint(words, said))
        return done.stdout

    @property
    def _scope(self) -> Sequence[str]:
        return () if self.is_system else ("--user",)

    def _hint(self, words: Sequence[str], said: str) -> str:
        if not self.is_system and _UNREACHABLE.search(said):
            if os.geteuid() == 0:
                return "a service of the whole machine is installed with --system"
            # sudo, su and cron log nobody in: systemd runs nothing for that user yet, or it does
            # and the variable that says where is not set.
            user_id = os.getuid()
            return (
                "log in as this user (ssh, machinectl shell USER@), or type: sudo loginctl"
                f" enable-linger {user_id}; export XDG_RUNTIME_DIR=/run/user/{user_id}"
            )
        if "start" in words or "restart" in words:
            return f"see why: journalctl {'' if self.is_system else '--user '}-n 20 -u {words[-1]}"
        return ""


def system_manager() -> Manager:
    return Manager(is_system=True, units_dir=_SYSTEM_DIR)


def user_manager(config_home: Path) -> Manager:
    return Manager(is_system=False, units_dir=config_home / "systemd" / "user")
