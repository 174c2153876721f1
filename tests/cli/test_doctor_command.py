"""`cortex doctor` as its users meet it."""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cortex.peer.keys.fleet_key import new_fleet_key
from cortex.peer.keys.keyring import Keyring, write_keyring

Cortex = Callable[..., Any]
KEY = new_fleet_key(random.Random(4).randbytes)


def test_each_finding_has_its_level_and_what_is_amiss_its_fix(
    cortex_here: Cortex, tmp_path: Path
) -> None:
    done = cortex_here("doctor", "--state-dir", str(tmp_path))

    lines = done.stdout.splitlines()
    assert done.code == 0
    assert all(line.split()[0] in ("ok", "warn", "FAIL", "fix:") for line in lines)
    place = next(n for n, line in enumerate(lines) if "no fleet key" in line)
    assert lines[place].startswith("warn   ")
    assert lines[place + 1].startswith("       fix: cortex join KEY")


def test_what_is_broken_is_an_exit_code_and_no_secret_is_shown(
    cortex_here: Cortex, tmp_path: Path
) -> None:
    path = tmp_path / "elsewhere.key"
    write_keyring(path, Keyring(KEY))
    path.chmod(0o666)

    done = cortex_here("doctor", "--json", "--key-file", str(path), "--state-dir", str(tmp_path))

    told = json.loads(done.stdout)
    assert done.code == 1
    assert told["schema"] == 1
    (finding,) = (finding for finding in told["findings"] if finding["check"] == "key")
    assert finding["level"] == "FAIL"
    assert finding["fix"].startswith(f"chmod 600 {path}")
    assert KEY.text not in done.stdout + done.stderr


def test_whom_to_join_is_named_by_options_and_settings(cortex_here: Cortex, tmp_path: Path) -> None:
    write_keyring(tmp_path / "fleet.key", Keyring(KEY))
    settings = tmp_path / "cortex.toml"
    settings.write_text('[fleet]\njoin = ["127.0.0.1:1"]\n', encoding="utf-8")
    here = ("--state-dir", str(tmp_path))

    by_file = cortex_here("doctor", "--config", str(settings), *here)
    by_option = cortex_here("doctor", "--join", "127.0.0.1:1", *here)

    for done in (by_file, by_option):
        assert done.code == 1
        assert "FAIL   127.0.0.1 at 127.0.0.1:1: nobody listens there" in done.stdout


def test_interfaces_are_those_of_the_settings(
    cortex_here: Cortex, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.delenv("CORTEX_NO_MDNS")
    settings = tmp_path / "cortex.toml"
    settings.write_text('[fleet]\nmdns_interfaces = ["lo", "eth99"]\n', encoding="utf-8")

    done = cortex_here("doctor", "--config", str(settings), "--state-dir", str(tmp_path))

    assert "peers are looked for on lo (127.0.0.1)" in done.stdout
    assert "warn   eth99 is not used: it is not there" in done.stdout


def test_without_mdns_nothing_is_sent_by_multicast(cortex_here: Cortex, tmp_path: Path) -> None:
    done = cortex_here("doctor", "--no-mdns", "--state-dir", str(tmp_path))

    assert "mDNS is off" in done.stdout
    assert "heard back" not in done.stdout


def test_of_folders_of_models_the_one_that_models_come_to_is_looked_at(
    cortex_here: Cortex, tmp_path: Path
) -> None:
    cache, ours = tmp_path / "cache", tmp_path / "ours"
    (cache / "models--org--name" / "snapshots").mkdir(parents=True)
    ours.mkdir()
    done = cortex_here(
        "doctor", "--models", str(cache), "--models", str(ours), "--state-dir", str(tmp_path)
    )

    assert f"GiB free in {ours}" in done.stdout
    assert str(cache) not in done.stdout, "nobody writes there"


def test_the_port_is_the_one_that_was_asked_for(cortex_here: Cortex, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        done = cortex_here("doctor", "--fleet-port", port, "--state-dir", str(tmp_path))

    assert done.code == 1
    assert (
        f"FAIL   fleet port {port} on 127.0.0.1 is taken by process {os.getpid()} (" in done.stdout
    )
