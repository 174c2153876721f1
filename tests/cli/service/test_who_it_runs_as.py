"""The machine's service as the user of `--run-as`, or as one that systemd makes up: which models
it finds, and that it can write where it is to keep its state.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cortex.cli.config import read_environment
from cortex.cli.errors import ServiceProblem
from cortex.cli.service import planning, unit
from cortex.cli.service.accounts import find_user
from cortex.cli.service.folders import make_folder
from cortex.cli.service.unit import Service, unit_text
from cortex.peer.config import PeerConfig
from cortex.peer.locations import Locations
from cortex.peer.models.catalogue import embedded_dir, pulling_dir, scan

Run = Callable[..., tuple[int, str, str]]
AS_ME = ("--system", "--run-as", "me")
AS_STRANGER = ("--system", "--run-as", "stranger")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One to which everybody may walk; those of tests are closed."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        yield folder


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
        assert not path.is_relative_to(link) and not path.is_relative_to("/run/credentials")

    monkeypatch.setattr(planning, "check_reach", check_reach)
    return link


def _put_model(folder: Path) -> None:
    shutil.copytree(embedded_dir(PeerConfig(Locations(Path(), Path()))), folder)


def _places_in(unit: str) -> dict[str, str]:
    """Those in a home, whose name is one of several words."""
    return dict(re.findall(r'^Environment="(\w+)=(.*)"$', unit, re.MULTILINE))


def test_a_peer_of_somebody_finds_the_models_and_the_token_in_that_home(
    run: Run, home: Path, own_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, unit, err = run("install", "--print", *AS_ME, "--gpu", "cpu")
    assert (code, err) == (0, "")
    hub = home / ".cache" / "huggingface"
    hub.mkdir(parents=True)
    (hub / "token").write_text("hf_mine\n")
    _put_model(own_models / "org" / "mine")
    for name, value in _places_in(unit).items():
        monkeypatch.setenv(name, value)
    started = read_environment(os.environ)
    assert started.locations.hub_dir == hub / "hub"
    assert started.hub.token == "hf_mine"
    config = PeerConfig(started.locations)
    assert scan(config).find("org/mine").dir == own_models / "org" / "mine"
    assert pulling_dir(config) == started.locations.data_dir / "models", "as it was before"


def test_without_the_folders_of_that_home_the_peer_starts_all_the_same(
    run: Run, home: Path, tmp_path: Path
) -> None:
    unit = run("install", "--print", *AS_ME, "--gpu", "cpu")[1]
    assert not home.exists()
    assert "--models" not in unit, "which has to be there"
    started = read_environment(_places_in(unit))
    config = PeerConfig(started.locations, models_dirs=(tmp_path / "of a file of settings",))
    _put_model(config.models_dirs[0] / "of-the-file")
    assert scan(config).find("of-the-file")


@pytest.mark.usefixtures("own_models")
def test_a_gateway_is_told_of_no_models(run: Run) -> None:
    _, unit, _ = run("install", "--print", *AS_ME, "gateway", "--host", "127.0.0.1")
    assert "XDG_DATA_DIRS" not in unit and "HF_HOME" not in unit


@pytest.mark.usefixtures("systemd", "units_dir")
def test_where_the_machines_peer_looks_for_models_is_told(
    run: Run, home: Path, own_models: Path
) -> None:
    hub = home / ".cache" / "huggingface" / "hub"
    out = run("install", *AS_ME, "--gpu", "cpu")[1]
    assert f"finds  models in /var/lib/cortex/models, {own_models}, {hub}\n" in out
    assert "pulls" not in out
    home.rename(home.with_name("away"))
    assert "models in /var/lib/cortex/models\n" in run("install", *AS_ME, "--gpu", "cpu")[1]
    assert "finds" not in run("install", "--gpu", "cpu")[1]


def test_somebody_whom_the_machine_does_not_know_runs_nothing(run: Run) -> None:
    for what in (("--gpu", "cpu"), ("gateway", "--host", "127.0.0.1")):
        code, out, err = run("install", "--print", "--system", "--run-as", "nobody here", *what)
        assert (code, out) == (1, "")
        assert "there is no user 'nobody here' on this machine" in err


def test_a_user_may_be_named_by_number() -> None:
    assert find_user("0").pw_uid == 0
    for digits in ("9" * 20, "9" * 5000):
        with pytest.raises(ServiceProblem, match="there is no user"):
            find_user(digits)


@pytest.mark.usefixtures("units_dir")
def test_a_folder_for_a_service_is_made_with_its_users_rights(
    run: Run, systemd: Path, open_folder: Path
) -> None:
    open_folder.chmod(0o777)
    state = open_folder / "new" / "state"
    typed = (*AS_STRANGER, "--gpu", "cpu", "--state-dir", str(state))
    assert run("install", *typed)[0] == 0
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    [made] = [one for one in systemd.read_text().splitlines() if "mkdir" in one]
    assert made.startswith("--reuid=54321 --regid=54321 --init-groups ")


@pytest.mark.usefixtures("systemd")
def test_where_its_user_can_make_no_folder_the_service_is_refused_with_what_makes_it(
    run: Run, units_dir: Path, open_folder: Path
) -> None:
    state = open_folder / "new" / "state"
    typed = (*AS_STRANGER, "--gpu", "cpu", "--state-dir", str(state))
    code, _, err = run("install", *typed)
    assert code == 1 and f"{state} cannot be written by stranger" in err
    assert f"sudo install -d -o stranger -m 700 {state}" in err
    open_folder.chmod(0o777)
    state.parent.touch()
    code, _, err = run("install", *typed)
    assert code == 1 and f"stranger cannot make {state}: mkdir: " in err
    assert not units_dir.exists() or not list(units_dir.iterdir())


def test_who_may_write_no_unit_is_sent_to_sudo_before_a_folder_is_made(
    run: Run, systemd: Path, units_dir: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_folder.chmod(0o777)
    units_dir.mkdir(parents=True)
    may = os.access

    def access(path: str | Path, mode: int) -> bool:
        """As for whoever is not root, who may run the tests."""
        return Path(path) != units_dir and may(path, mode)

    monkeypatch.setattr(os, "access", access)
    state = open_folder / "state"
    code, _, err = run("install", *AS_ME, "--gpu", "cpu", "--state-dir", str(state))
    assert code == 1
    assert f"cannot write {units_dir / 'cortex.service'}: Permission denied" in err
    assert "for the whole machine's: sudo " in err
    assert not state.exists() and "mkdir" not in systemd.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root acts as somebody else")
def test_nothing_is_made_through_a_link_to_where_the_user_may_not_write(open_folder: Path) -> None:
    mine, nobody = open_folder / "mine", pwd.getpwuid(65534)
    mine.mkdir(mode=0o755)
    theirs = open_folder / "theirs"
    theirs.mkdir()
    os.chown(theirs, nobody.pw_uid, nobody.pw_gid)
    (theirs / "link").symlink_to(mine)
    with pytest.raises(ServiceProblem, match="Permission denied"):
        make_folder(theirs / "link" / "cron.d", nobody)
    assert list(mine.iterdir()) == []
    make_folder(theirs / "new" / "state", nobody)
    made = (theirs / "new" / "state").stat()
    assert (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)) == (65534, nobody.pw_gid, 0o700)


def test_a_folder_that_is_there_and_not_its_users_to_write_is_refused_with_what_gives_it_to_them(
    run: Run, systemd: Path, units_dir: Path, open_folder: Path
) -> None:
    state, key = open_folder / "state", open_folder / "keys" / "fleet.key"
    state.mkdir(mode=0o755)
    key.parent.mkdir(mode=0o755)
    install = ("install", *AS_STRANGER, "--gpu", "cpu")
    for folder, typed in ((state, ("--state-dir", state)), (key.parent, ("--key-file", key))):
        code, _, err = run(*install, *map(str, typed))
        assert code == 1 and f"{folder} cannot be written by stranger" in err
        assert f"sudo chown stranger: {folder}" in err
        assert not units_dir.exists()
    key.touch()
    assert run(*install, "--key-file", str(key))[0] == 0, "no key is made there"
    state.chmod(0o777)
    assert run(*install, "--state-dir", str(state))[0] == 0
    assert "mkdir" not in systemd.read_text(), "what was there stays whose it is"
    state.parent.chmod(0o700)
    assert run(*install, "--state-dir", str(state))[0] == 1, "they cannot walk to it"


@pytest.mark.usefixtures("systemd", "units_dir")
def test_that_no_model_can_be_pulled_into_a_folder_is_told(run: Run, open_folder: Path) -> None:
    models = open_folder / "models"
    models.mkdir(mode=0o755)
    told = f"pulls  fail: the service's user may not write {models}\n"
    install = ("--gpu", "cpu", "--models", str(models))
    assert told in run("install", *AS_STRANGER, *install)[1]
    models.chmod(0o777)
    assert "pulls" not in run("install", *AS_STRANGER, *install)[1]


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
    key = tmp_path / "fleet.key"
    key.touch(mode=0o600)
    assert run(*install, "--key-file", str(key))[0] == 1, "nobody else may read it"
    key.chmod(0o640)
    for one in (key, "/run/credentials/cortex.service/fleet.key"):
        assert run(*install, "--key-file", str(one))[0] == 0, "it is only read"
    assert not Path("/run/credentials/cortex.service").exists()
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


def test_homes_that_lie_behind_a_link_stay_to_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").symlink_to(tmp_path / "data")
    monkeypatch.setattr(unit, "_HOMES", (tmp_path / "home",))
    for reads, word in ((tmp_path / "data" / "me", "read-only"), (tmp_path / "srv", "yes")):
        text = unit_text(Service("x", "x", ["x"], 0.0, is_system=True, reads=[reads]))
        assert f"ProtectHome={word}\n" in text
