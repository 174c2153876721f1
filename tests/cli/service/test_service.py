"""`cortex service`: the unit that is written, what systemd says of it, and what systemd is told."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from pwd import struct_passwd
from typing import Any

import pytest

from cortex.cli import main
from cortex.cli.config import read_environment
from cortex.cli.errors import ServiceProblem
from cortex.cli.service import planning, renewing, systemctl
from cortex.cli.service import unit as units
from cortex.cli.service.renewing import judge_units, signed_unit
from cortex.cli.service.unit import Service, unit_text
from cortex.cli.service.wording import lines, told

Run = Callable[..., tuple[int, str, str]]
AS_ME = ("--system", "--run-as", "me")
ROOT = Path("/")
HEAD = "# Layout 0, installed with: peer\n"  # of another release

HAS_SYSTEMD = shutil.which("systemd-analyze") is not None
needs_systemd = pytest.mark.skipif(not HAS_SYSTEMD, reason="systemd-analyze is not installed")


def test_options_of_the_peer_are_what_the_service_is_started_with(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my models").mkdir()
    typed = ("--gpu", "cpu", "--memory", "4GiB", "--models", "my models", "--no-mdns")
    code, unit, _ = run("install", "--print", *typed)
    assert code == 0
    assert (
        f"ExecStart={sys.executable} -P -m cortex.cli peer --gpu cpu --no-mdns --models"
        f' "{tmp_path}/my models" --memory 4294967296\n'
    ) in unit


def test_settings_of_this_folder_are_read_by_the_service_too(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cortex.toml").write_text('[peer]\ndrain = "5m"\n')
    _, unit, _ = run("install", "--print")
    assert f"--config {tmp_path}/cortex.toml\n" in unit
    assert "TimeoutStopSec=315\n" in unit
    typed = ("--drain", "2m", "--idle-ttl", "never", "--model", "a", "--model", "b")
    _, unit, _ = run("install", "--print", *typed)
    assert " --model a --model b --idle-ttl never --drain 120.0 " in unit
    assert "TimeoutStopSec=135\n" in unit


def test_settings_that_the_machines_service_does_not_read_are_not_taken_unless_they_are_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cortex.toml").write_text('[peer]\ndrain = "5m"\n')
    system = ("install", "--print", "--system", "--run-as", "me")
    _, unit, err = run(*system)
    assert "TimeoutStopSec=45\n" in unit and "--config" not in unit
    assert f"the service does not read {tmp_path}/cortex.toml: " in err
    _, unit, err = run(*system, "--config", "cortex.toml")
    assert "TimeoutStopSec=315\n" in unit and f"--config {tmp_path}/cortex.toml\n" in unit
    assert err == ""


def test_the_machines_settings_are_taken(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "SYSTEM_SETTINGS_DIRS", (tmp_path / "state", tmp_path))
    (tmp_path / "cortex.toml").write_text('[peer]\ndrain = "5m"\n')
    (tmp_path / "elsewhere").mkdir()
    for whence in ("elsewhere", "."):
        monkeypatch.chdir(tmp_path / whence)
        _, unit, err = run("install", "--print", "--system", "--run-as", "me")
        assert "TimeoutStopSec=315\n" in unit and err == ""
        assert "Environment=XDG_CONFIG_HOME=/etc\n" in unit


def test_a_gateway_is_a_service_of_another_name(run: Run) -> None:
    _, unit, _ = run("install", "gateway", "--host", "127.0.0.1", "--print")
    assert "cortex.cli gateway --host 127.0.0.1\n" in unit
    assert "edit cortex-gateway.service" in unit


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("install", "--gpv", "all"), 2, "--gpv"),
        (("install", "pear"), 2, "a peer or a gateway, not 'pear'"),
        (("install", "--run-as", "me"), 2, "--run-as is for --system"),
        (("install", "--host", "0.0.0.0", "--print"), 1, "there are no API keys"),
        (("install",), 1, "systemd does not run this machine"),
        (("status",), 1, "systemd does not run this machine"),
        (("remove", "gateway"), 1, "systemd does not run this machine"),
    ],
)
def test_what_cannot_be_a_service_is_refused(
    run: Run,
    arguments: tuple[str, ...],
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(systemctl, "_BOOTED", tmp_path / "none")
    ended, out, err = run(*arguments)
    assert (ended, out) == (code, "")
    assert words in err


def test_a_program_that_others_cannot_reach_is_no_service_of_a_made_up_user(
    run: Run, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    (closed / "models").mkdir(parents=True)
    closed.chmod(0o700)
    arguments = ("install", "--system", "--print", "--models", str(closed / "models"))
    code, _, err = run(*arguments)
    assert code == 1
    assert "--run-as USER" in err
    code, unit, _ = run(*arguments, "--run-as", "me")
    assert code == 0
    assert "User=me\n" in unit


def test_words_reach_the_service_as_they_are() -> None:
    words = ["/bin/x", 'a "b"', "50%", "$HOME", "back\\slash", "a\r\nb", ""]
    text = unit_text(Service("x.service", "x", words, 30.0))
    assert r'ExecStart=/bin/x "a \"b\"" "50%%" "$$HOME" "back\\slash" "a\r\nb" ""' in text


def test_the_words_of_an_installation_stand_in_one_line_that_a_shell_reads_as_them() -> None:
    words = ["gateway", "--models", "a\n[Service]\r$HOME 'b' \\", "ü%"]
    text = signed_unit("gateway", Service("x", "x", [*planning.COMMAND, *words], 30.0))
    first, second = text.splitlines()[:2]
    assert second.startswith("# Written by")
    shown = ["bash", "-c", f"printf '%s|' {first.partition('installed with: ')[2]}"]
    assert subprocess.check_output(shown) == "".join(f"{word}|" for word in words).encode()


def test_a_service_whose_address_comes_late_is_started_again_for_ever() -> None:
    text = unit_text(Service("x.service", "x", ["/bin/x"], 30.0))
    assert "StartLimitIntervalSec=0\n" in text and "RestartSec=10\n" in text
    assert "RestartPreventExitStatus=2\n" in text


def test_a_service_that_crashes_writes_its_memory_to_no_disk() -> None:
    assert "LimitCORE=0\n" in unit_text(Service("x.service", "x", ["/bin/x"], 30.0))


@pytest.mark.parametrize("place", ["option", "file"])
def test_a_peer_whose_disk_of_models_comes_late_ends_as_one_that_is_started_again(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if place == "file":
        (tmp_path / "cortex.toml").write_text('[peer]\nmodels = ["late"]\n')
    options = ("--models", "late") if place == "option" else ()
    assert main.run(["peer", "--engine", "fake", *options], read_environment({})) == 1
    assert "late" in capsys.readouterr().err


@needs_systemd
@pytest.mark.parametrize("is_system", [False, True])
def test_systemd_finds_nothing_wrong_with_the_unit(
    run: Run, tmp_path: Path, is_system: bool
) -> None:
    scope = ("--system", "--run-as", "me") if is_system else ()
    _, unit, _ = run("install", "--print", "--models", "/tmp", *scope)
    file = tmp_path / "cortex.service"
    file.write_text(unit)
    checked = subprocess.run(
        ["systemd-analyze", *(() if is_system else ("--user",)), "--man=no", "verify", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        env={"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert (checked.returncode, checked.stderr) == (0, "")


@needs_systemd
def test_little_of_the_machine_lies_open_to_a_system_service(run: Run, tmp_path: Path) -> None:
    service = Service("cortex.service", "cortex", ["/bin/true"], 30.0, is_system=True)
    file = tmp_path / "cortex.service"
    file.write_text(unit_text(service))
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    exposure = re.search(r"exposure level for cortex\.service: ([0-9.]+)", judged)
    assert exposure is not None, judged
    # Of 10; what is left is the network, the devices and the processors' count.
    assert float(exposure[1]) < 2.5


def test_what_a_shell_says_of_proxies_and_caches_holds_for_the_service_but_no_password(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    for name, value in {
        "HTTPS_PROXY": "http://me:secret@proxy.test:3128",
        "NO_PROXY": "10.0.0.0/8",
        "SSL_CERT_FILE": "/etc/ours.pem",
        "CUDA_VISIBLE_DEVICES": "1",
        "XDG_CACHE_HOME": str(cache),
    }.items():
        monkeypatch.setenv(name, value)
    code, unit, err = run("install", "--print")
    assert code == 0
    assert "secret" not in unit + err
    assert "HTTPS_PROXY holds a password" in err
    for line in (
        "NO_PROXY=10.0.0.0/8", "SSL_CERT_FILE=/etc/ours.pem", "CUDA_VISIBLE_DEVICES=1",
        f"XDG_CACHE_HOME={cache}",
    ):  # fmt: skip
        assert f"Environment={line}\n" in unit


def test_a_shell_that_hides_all_gpus_hides_them_from_the_service(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "Environment=CUDA_VISIBLE_DEVICES=\n" in run("install", "--print")[1]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert "CUDA_VISIBLE_DEVICES" not in run("install", "--print")[1]


def test_the_machines_service_has_the_nodes_of_gpus_made_before_it_starts(run: Run) -> None:
    _, unit, _ = run("install", "--print", "--system", "--run-as", "me")
    assert "ExecStartPre=-+/usr/bin/nvidia-modprobe -c=0 -u\n" in unit
    assert "After=modprobe@nvidia_uvm.service\nAfter=remote-fs.target\n" in unit


def test_installing_writes_the_unit_and_starts_it(run: Run, systemd: Path, tmp_path: Path) -> None:
    code, out, err = run("install", "--gpu", "cpu")
    assert (code, err) == (0, "")
    file = Path(str(subprocess.check_output(["sh", "-c", "echo $XDG_CONFIG_HOME"], text=True))[:-1])
    unit = (file / "systemd" / "user" / "cortex.service").read_text()
    assert "peer --gpu cpu\n" in unit
    assert systemd.read_text().splitlines() == [
        "--user show --property=Version",
        "--user daemon-reload",
        "--user enable cortex.service",
        "--user restart cortex.service",
    ]
    assert "cortex service status peer" in out
    assert "cortex key" in out
    assert run("status")[1].startswith("cortex.service   active (running)   process 42")
    assert json.loads(run("status", "--json")[1])["pid"] == 42
    assert run("remove")[0] == 0
    assert not (file / "systemd" / "user" / "cortex.service").exists()
    assert "--user disable --now cortex.service" in systemd.read_text()


def _home_of(user: struct_passwd) -> Path:
    return Path(user.pw_dir)


def _lies_nowhere(path: Path, folders: object) -> bool:
    return False


@pytest.mark.usefixtures("systemd")
@pytest.mark.parametrize(
    ("scope", "line", "was"),
    [
        ((), (units, "_HARDENED"), "PrivateTmp=yes\n"),
        (AS_ME, (units, "_HARDENED_SYSTEM"), ""),
        (AS_ME, (planning, "hub_home_of"), _home_of),
        (AS_ME, (units, "_lies_in"), _lies_nowhere),
        ((), (renewing, "GIVEN"), 0),
    ],
)
def test_unit_of_another_layout_is_told_with_the_words_that_write_it_anew(
    run: Run,
    units_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scope: tuple[str, ...],
    line: tuple[Any, str],
    was: Any,
) -> None:
    models = tmp_path / "my models"
    models.mkdir()
    typed = ("--gpu", "cpu", "--models", str(models))
    with monkeypatch.context() as another_release:
        another_release.setattr(*line, was)
        assert run("install", *scope, *typed)[0] == 0
        assert json.loads(run("status", "--json", *scope[:1])[1])["renew"] is None

    renew = json.loads(run("status", "--json", *scope[:1])[1])["renew"]
    asked = " ".join(("service install", *scope, f"peer --gpu cpu --models '{models}'"))
    assert renew.endswith(asked) and renew in run("status", *scope[:1])[1]
    manager = systemctl.Manager(is_system=bool(scope), units_dir=units_dir)
    assert [finding.fix for finding in judge_units([manager])] == [renew]
    again = shlex.split(renew)[-len((*scope, "peer", *typed)) :]
    assert run("install", *again)[0] == 0
    assert (units_dir / "cortex.service").read_text() == run("install", "--print", *again)[1]
    assert json.loads(run("status", "--json", *scope[:1])[1])["renew"] is None


def test_a_layout_is_the_same_wherever_the_links_of_a_machine_lead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def linked(path: Path) -> str:
        return str(path) if path == ROOT else "/home"

    service = Service("x", "x", [*planning.COMMAND, "peer"], 30.0, is_system=True)
    here = signed_unit("peer", service)
    with monkeypatch.context() as all_is_home:
        all_is_home.setattr(os.path, "realpath", linked)
        assert signed_unit("peer", service) == here


def test_a_unit_is_known_as_this_installations_wherever_that_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = systemctl.Manager(is_system=False, units_dir=tmp_path)
    for folder, other in (("/opt/a", "/opt/a b"), ('/opt/50% "$b\\', "/opt/50%")):
        started = [f"{folder}/bin/python3", *planning.COMMAND[1:], "peer"]
        written = HEAD + unit_text(Service("x", "x", started, 30.0))
        (tmp_path / "cortex.service").write_text(written)
        (tmp_path / "cortex-gateway.service").write_text(written)
        for own in (folder, other):
            monkeypatch.setattr(renewing, "COMMAND", (f"{own}/bin/python", *started[1:-1]))
            assert bool(renewing.renewal(manager, "peer")) == (own == folder)
            assert not renewing.renewal(manager, "gateway")


@pytest.mark.usefixtures("systemd")
@pytest.mark.parametrize(
    ("head", "started"),
    [
        (HEAD, "/opt/other/bin/python -P -m cortex.cli peer"),
        (HEAD, "/bin/true"),
        (HEAD, ""),
        ("", f"{sys.executable} -P -m cortex.cli peer --gpu 0"),
    ],
)
def test_unit_that_another_installation_or_somebody_wrote_is_left_to_whoever_did(
    run: Run, units_dir: Path, head: str, started: str
) -> None:
    units_dir.mkdir(parents=True)
    (units_dir / "cortex.service").write_text(f"{head}[Service]\nExecStart={started}\n")
    code, out, _ = run("status", "--json")
    assert (code, json.loads(out)["renew"]) == (0, None)


@pytest.mark.parametrize("scope", [(), ("--system", "--run-as", "me")])
def test_a_service_may_write_where_it_pulls_models_to_and_to_no_other_models(
    run: Run, tmp_path: Path, scope: tuple[str, ...]
) -> None:
    cache, model, first, second = (tmp_path / one for one in ("cache", "model", "first", "second"))
    (cache / "models--org--name" / "snapshots").mkdir(parents=True)
    for one in (model, first, second):
        one.mkdir()
    (model / "config.json").write_text("{}")
    models = [word for one in (cache, model, first, second) for word in ("--models", str(one))]
    code, unit, err = run("install", "--print", *scope, *models)
    assert code == 0, err
    writable = [one for one in unit.splitlines() if one.startswith("ReadWritePaths=")]
    assert any(str(first) in one for one in writable)
    others = (cache, model, second)
    assert not any(str(other) in one for one in writable for other in others)


@pytest.mark.usefixtures("systemd")
def test_a_gateway_beside_a_peer_wants_a_state_directory_of_its_own(
    run: Run, tmp_path: Path
) -> None:
    assert run("install", "--gpu", "cpu")[0] == 0
    gateway = ("install", "gateway", "--host", "127.0.0.1")
    code, out, err = run(*gateway)
    assert (code, out) == (1, "")
    assert "cortex.service keeps its state where this one would" in err and "--state-dir" in err
    assert run(*gateway, "--state-dir", str(tmp_path / "own"))[0] == 0
    code, _, err = run("install", "--gpu", "cpu", "--state-dir", str(tmp_path / "own"))
    assert code == 1 and "cortex-gateway.service keeps its state" in err
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "own")
    (tmp_path / "own 2").mkdir()
    for named in (link, tmp_path / "link" / ".." / "own"):
        assert run("install", "--gpu", "cpu", "--state-dir", str(named))[0] == 1, "the same folder"
    assert run("install", "--gpu", "cpu", "--state-dir", str(tmp_path / "own 2"))[0] == 0
    assert run("install", "--gpu", "cpu")[0] == 0, "each has its own"


@pytest.mark.usefixtures("systemd")
def test_a_default_state_directory_that_is_named_is_the_same_one(run: Run) -> None:
    default = read_environment({}).locations.state_dir
    assert run("install", "--gpu", "cpu")[0] == 0
    gateway = ("install", "gateway", "--host", "127.0.0.1", "--state-dir", str(default))
    assert run(*gateway)[0] == 1


@pytest.mark.usefixtures("systemd")
def test_a_machine_has_a_peer_or_a_gateway_of_its_own_and_never_both(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemctl, "_SYSTEM_DIR", tmp_path)
    system = ("--system", "--run-as", "me")
    assert run("install", *system)[0] == 0
    gateway = ("install", *system, "gateway", "--host", "127.0.0.1")
    for own in ((), ("--state-dir", str(tmp_path / "own"))):
        code, _, err = run(*gateway, *own)
        assert code == 1 and "a peer is a gateway too" in err
        assert "service remove peer --system" in err and "--state-dir" not in err
    assert run("remove", "--system")[0] == 0
    assert run(*gateway)[0] == 0


@pytest.mark.usefixtures("systemd")
def test_the_command_that_shows_the_key_is_that_of_the_services_own_state(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemctl, "_SYSTEM_DIR", tmp_path)
    own = ("gateway", "--host", "127.0.0.1", "--state-dir", str(tmp_path / "a b"))
    shown = f"key --state-dir '{tmp_path}/a b'\n"
    assert f"cortex {shown}" in run("install", *own)[1]
    assert shown in run("install", "--system", "--run-as", "me", *own)[1]


def test_who_is_to_use_sudo_is_told_the_whole_path(
    run: Run, systemd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "cortex"
    program.touch()
    monkeypatch.setattr(planning, "COMMAND", (str(program.with_name("python")),))
    monkeypatch.setattr(systemctl, "_SYSTEM_DIR", tmp_path)
    code, _, err = run("status", "--system")
    assert code == 1
    assert f"hint: make it with: sudo {program} service install --system peer" in err
    assert f"sudo {program} key --state-dir" in run("install", "--system", "--run-as", "me")[1]


def test_what_systemd_refuses_is_told_with_its_words(
    run: Run, systemd: Path, tmp_path: Path
) -> None:
    (tmp_path / "refuses").write_text("Unit is masked.")
    code, _, err = run("install")
    assert code == 1
    assert err.startswith("error: systemctl --user daemon-reload failed: Unit is masked.\n")


@pytest.mark.usefixtures("systemd")
def test_a_service_that_lets_long_answers_end_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(systemctl, "_TIMEOUT_S", 0.0)
    manager = systemctl.system_manager()
    with pytest.raises(ServiceProblem, match="timed out"):
        manager.call("daemon-reload")
    manager.call("disable", "--now", "cortex.service")
    manager.call("restart", "cortex.service")


@pytest.mark.usefixtures("systemd")
@pytest.mark.parametrize("action", ["status", "remove"])
def test_a_service_that_is_not_there_is_told_so(run: Run, action: str) -> None:
    code, _, err = run(action, "gateway")
    assert code == 1
    assert "hint: make it with: cortex service install gateway" in err


def test_a_service_that_failed_says_where_to_look() -> None:
    state = {"ActiveState": "failed", "SubState": "failed", "Result": "watchdog", "NRestarts": "3"}
    assert lines("cortex.service", state, is_system=False) == [
        "cortex.service   failed (failed)   started again 3 times",
        "it does not start by itself",
        "it ended with watchdog; see: journalctl --user -n 20 -u cortex.service",
    ]
    assert told({})["restarts"] == 0


def test_a_service_manager_is_found_by_its_variables() -> None:
    found = read_environment({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "30000000"}).supervision
    assert found is not None
    assert (found.address, found.silence_s) == ("/run/x", 30.0)
    for nobody in ({}, {"NOTIFY_SOCKET": "vsock:2:1"}):
        assert read_environment(nobody).supervision is None
    of_another = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}
    other = read_environment(of_another).supervision
    assert other is not None
    assert other.silence_s is None


def test_a_supervised_peer_says_when_it_is_ready_and_shows_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    options = ("--engine", "fake", "--host", "0.0.0.0", "--port", "0")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30.0)
        command = [sys.executable, "-m", "cortex.cli", "peer", *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as peer:
            try:
                assert manager.recv(4096).startswith(b"READY=1\n")
            finally:
                peer.terminate()
                said, _ = peer.communicate(timeout=30)
        assert manager.recv(4096).startswith(b"STOPPING=1\n")
    assert peer.returncode == 0
    assert "cortex1-" not in said
    assert "key    made, and shown in no log" in said
