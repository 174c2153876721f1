"""A systemd that cannot be reached, or that refuses: what is said then, and what is left alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cortex.cli.errors import ServiceProblem
from cortex.cli.service.systemctl import user_manager

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.usefixtures("systemd")
def test_a_shell_that_is_no_login_writes_no_unit_and_says_what_lets_it(
    run: Run, units_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    said = tmp_path / "unreachable"
    for words in (
        "Failed to connect to bus: No medium found",
        "Failed to connect to user scope bus via local transport: $DBUS_SESSION_BUS_ADDRESS and"
        " $XDG_RUNTIME_DIR not defined (consider using --machine=<user>@.host --user to connect"
        " to bus of other user)",
    ):
        said.write_text(words)
        code, _, err = run("install", "--gpu", "cpu")
        assert code == 1 and words in err
        assert f"loginctl enable-linger {os.getuid()}; export XDG_RUNTIME_DIR=/run/user/" in err
        assert not (units_dir / "cortex.service").exists()
        assert "XDG_RUNTIME_DIR" not in run("install", "--system", "--run-as", "me")[2].replace(
            words, ""
        )
    said.unlink()
    assert run("install", "--gpu", "cpu")[0] == 0
    said.write_text("Failed to connect to bus: No medium found")
    for action in ("status", "remove"):
        assert "enable-linger" in run(action)[2]
    assert (units_dir / "cortex.service").exists()


@pytest.mark.usefixtures("systemd", "units_dir")
def test_root_who_reaches_no_systemd_of_its_own_is_told_of_the_machines(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (tmp_path / "unreachable").write_text("Failed to connect to bus: No medium found")
    err = run("install", "--gpu", "cpu")[2]
    assert "--system" in err and "enable-linger" not in err


@pytest.mark.usefixtures("systemd")
def test_another_refusal_has_no_hint_of_logins(tmp_path: Path) -> None:
    (tmp_path / "refuses").write_text("Unit is masked.")
    manager = user_manager(tmp_path)
    with pytest.raises(ServiceProblem) as refused:
        manager.call("daemon-reload")
    assert refused.value.hint == ""
