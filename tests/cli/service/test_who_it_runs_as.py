"""The machine's service as the user of `--run-as`, or as one that systemd makes up: which models
it finds, and that it can write where it is to keep its state.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from pwd import struct_passwd

import pytest

from cortex.cli.config import read_environment
from cortex.cli.service import planning
from cortex.cli.service.accounts import find_user
from cortex.cli.service.unit import read_unit

Run = Callable[..., tuple[int, str, str]]
AS_ME = ("--system", "--run-as", "me")


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> dict[Path, tuple[int, int]]:
    """Who has been given which folder."""
    given: dict[Path, tuple[int, int]] = {}

    def chown(path: Path, user: int, group: int, *, follow_symlinks: bool) -> None:
        assert not follow_symlinks
        given[path] = (user, group)

    monkeypatch.setattr(os, "chown", chown)
    return given


@pytest.fixture
def own_models(home: Path) -> Path:
    folder = home / ".local" / "share" / "cortex" / "models"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def system_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of state as systemd leaves it for a user that it makes up, closed to all others.

    Where tests run all else is closed to some as well, which is not asked.
    """
    real, link = tmp_path / "lib" / "private" / "cortex", tmp_path / "lib" / "cortex"
    real.mkdir(parents=True)
    real.parent.chmod(0o700)
    link.symlink_to(real)
    monkeypatch.setattr(planning, "SYSTEM_STATE_DIR", link)

    def check_reach(path: Path) -> None:
        assert not path.is_relative_to(link)

    monkeypatch.setattr(planning, "_check_reach", check_reach)
    return link


def test_a_peer_of_somebody_finds_the_models_and_the_token_in_that_home(
    run: Run, home: Path, own_models: Path
) -> None:
    code, unit, err = run("install", "--print", *AS_ME, "--gpu", "cpu")
    assert (code, err) == (0, "")
    found = read_unit(unit, "cortex.service", is_system=True)
    assert found.command[-3:] == ["cpu", "--models", str(own_models)]
    assert own_models in found.writes, "what it pulls goes there"
    (home / ".cache" / "huggingface" / "hub").mkdir(parents=True)
    (home / ".cache" / "huggingface" / "token").write_text("hf_mine\n")
    started = read_environment(found.environment)
    assert started.locations.hub_dir == home / ".cache" / "huggingface" / "hub"
    assert started.hub.token == "hf_mine"


def test_folders_of_models_that_are_typed_go_before_those_of_the_home(
    run: Run, tmp_path: Path, own_models: Path
) -> None:
    typed = tmp_path / "typed"
    typed.mkdir()
    for models in ([typed], [typed, own_models]):
        words = [word for one in models for word in ("--models", str(one))]
        _, unit, _ = run("install", "--print", *AS_ME, *words)
        found = read_unit(unit, "cortex.service", is_system=True)
        assert found.command[-4:] == ["--models", str(typed), "--models", str(own_models)]
        assert typed in found.writes and own_models not in found.writes


@pytest.mark.usefixtures("own_models")
def test_folders_of_models_in_a_file_of_settings_stay_the_files_to_say(
    run: Run, tmp_path: Path
) -> None:
    settings = tmp_path / "cortex.toml"
    settings.write_text(f"[peer]\nmodels = {json.dumps([str(tmp_path)])}\n")
    _, unit, _ = run("install", "--print", *AS_ME, "--config", str(settings))
    assert "--models" not in unit and "HF_HOME=" in unit


@pytest.mark.usefixtures("own_models")
def test_a_gateway_is_told_of_no_models(run: Run) -> None:
    _, unit, _ = run("install", "--print", *AS_ME, "gateway", "--host", "127.0.0.1")
    assert "--models" not in unit and "HF_HOME" not in unit


@pytest.mark.usefixtures("systemd", "units_dir")
def test_where_the_machines_peer_looks_for_models_is_told(
    run: Run, home: Path, own_models: Path
) -> None:
    hub = home / ".cache" / "huggingface" / "hub"
    out = run("install", *AS_ME, "--gpu", "cpu")[1]
    assert f"finds  models in {own_models}, /var/lib/cortex/models, {hub}\n" in out
    assert "finds" not in run("install", "--gpu", "cpu")[1]


@pytest.mark.usefixtures("systemd", "own_models")
def test_a_unit_that_finds_no_models_of_its_user_is_one_of_another_release(
    run: Run, units_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("install", *AS_ME, "--gpu", "cpu")[0] == 0
    assert json.loads(run("status", "--system", "--json")[1])["renew"] is None
    unit = units_dir / "cortex.service"
    kept = unit.read_text().splitlines(keepends=True)
    unit.write_text("".join(one for one in kept if "HF_HOME" not in one))
    renew = json.loads(run("status", "--system", "--json")[1])["renew"]
    assert f"service install {' '.join(AS_ME)} peer --gpu cpu" in renew

    def nobody(name: str) -> struct_passwd:
        raise KeyError(name)

    monkeypatch.setattr(pwd, "getpwnam", nobody)
    assert json.loads(run("status", "--system", "--json")[1])["renew"] is None, "nobody's home"


def test_somebody_whom_the_machine_does_not_know_runs_nothing(run: Run) -> None:
    for what in (("--gpu", "cpu"), ("gateway", "--host", "127.0.0.1")):
        code, out, err = run("install", "--print", "--system", "--run-as", "nobody here", *what)
        assert (code, out) == (1, "")
        assert "there is no user 'nobody here' on this machine" in err


def test_a_user_may_be_named_by_number() -> None:
    assert find_user("0").pw_uid == 0


@pytest.mark.usefixtures("systemd", "units_dir")
def test_folders_made_for_a_service_are_its_users_and_those_that_were_there_stay_whose_they_are(
    run: Run, tmp_path: Path, owners: dict[Path, tuple[int, int]]
) -> None:
    state = tmp_path / "srv" / "new" / "state"
    state.parent.parent.mkdir()
    typed = ("--gpu", "cpu", "--state-dir", str(state))
    assert run("install", *AS_ME, *typed)[0] == 0
    mine = (os.getuid(), os.getgid())
    assert owners == {state: mine, state.parent: mine}
    owners.clear()
    assert run("install", *AS_ME, *typed)[0] == 0
    assert run("install", "--gpu", "cpu", "--state-dir", str(tmp_path / "own"))[0] == 0
    assert owners == {}


@pytest.mark.usefixtures("systemd", "units_dir")
def test_a_made_up_user_keeps_its_state_where_systemd_lets_it(
    run: Run, tmp_path: Path, system_state: Path
) -> None:
    install = ("install", "--system", "--gpu", "cpu")
    elsewhere = tmp_path / "srv" / "cortex"
    for option in (("--state-dir", elsewhere), ("--key-file", elsewhere / "fleet.key")):
        code, _, err = run(*install, *map(str, option))
        assert code == 1 and not elsewhere.exists()
        assert f"{option[1]} cannot be written by the user that systemd makes up" in err
        assert "--run-as USER" in err
    inside = system_state / "state"
    assert run(*install, "--state-dir", str(inside), "--key-file", str(inside / "key"))[0] == 0
    assert not inside.exists(), "it makes that itself, as its own"


@pytest.mark.usefixtures("systemd", "units_dir")
def test_keys_are_looked_for_in_the_state_directory_that_is_named(
    run: Run, tmp_path: Path, system_state: Path
) -> None:
    state = tmp_path / "srv"
    state.mkdir()
    install = ("install", "--print", *AS_ME, "--host", "0.0.0.0", "--state-dir", str(state))
    (system_state / "api-key").touch()
    assert "there are no API keys" in run(*install)[2]
    (state / "api-key").touch()
    assert run(*install)[0] == 0
