"""API keys as a person meets them: made, shown once, kept as a hash."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from cortex.cli.errors import ConfigProblem
from cortex.cli.first_key import first_key
from cortex.cli.key_file import become_member
from cortex.cli.settings.reading import read_settings
from cortex.peer.keys.access import ApiKey, digest_of
from cortex.peer.keys.fleet_key import new_fleet_key

Cortex = Callable[..., Any]


def test_a_new_key_and_the_entry_for_the_file_belong_together(
    cortex_here: Cortex, tmp_path: Path
) -> None:
    done = cortex_here("config", "new-key", "--name", "ci")
    assert done.code == 0
    first, second, _ = done.stdout.splitlines()
    key, entry = first.removeprefix("key    "), second.removeprefix("entry  ")
    other = cortex_here("config", "new-key").stdout.splitlines()[1].removeprefix("entry  ")
    path = tmp_path / "made.toml"
    path.write_text(f"[api]\nkeys = [\n{entry}\n{other}\n]\n")
    keys = cast(tuple[ApiKey, ...], read_settings(path).values["api", "keys"])
    assert keys[0] == ApiKey("ci", digest_of(key))
    assert len(keys) == 2, "one entry goes below the other"


def test_it_is_said_which_list_a_new_key_belongs_into(cortex_here: Cortex) -> None:
    assert "[api], keys = [" in cortex_here("config", "new-key").stdout
    assert "[api], admin_keys = [" in cortex_here("config", "new-key", "--admin").stdout


def test_a_new_key_as_json(cortex_here: Cortex) -> None:
    told = json.loads(cortex_here("config", "new-key", "--json").stdout)
    assert told["hash"] == f"sha256:{digest_of(told['key']).hex()}"
    assert told["name"] == "key"


def test_no_two_keys_are_the_same(cortex_here: Cortex) -> None:
    assert cortex_here("config", "new-key").stdout != cortex_here("config", "new-key").stdout


def test_a_name_that_would_not_do_in_a_log_is_refused(cortex_here: Cortex) -> None:
    done = cortex_here("config", "new-key", "--name", "a b\n")
    assert done.code == 2
    assert done.stderr.startswith("error: --name takes letters, digits")


def test_config_alone_tells_what_there_is(cortex_here: Cortex) -> None:
    done = cortex_here("config")
    assert done.code == 0
    assert "new-key" in done.stdout


def test_the_first_key_is_made_once_and_kept_as_a_hash_for_its_owner_alone(tmp_path: Path) -> None:
    made = first_key(tmp_path / "state", bytes(32))
    kept = first_key(tmp_path / "state", bytes(range(32)))
    assert made.text is not None
    assert kept.text is None
    assert made.key == kept.key == ApiKey("first", digest_of(made.text))
    file = tmp_path / "state" / "api-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made.text not in file.read_text()
    assert os.listdir(file.parent) == ["api-key"]


def test_a_kept_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "api-key").write_text("nonsense")
    with pytest.raises(ConfigProblem, match="holds no hash of a key"):
        first_key(tmp_path, bytes(32))
    (tmp_path / "file").touch()
    with pytest.raises(ConfigProblem, match="cannot keep an API key in"):
        first_key(tmp_path / "file", bytes(32))


def test_keys_that_have_no_room_are_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    fleet = new_fleet_key(lambda number: bytes(number))
    for keep in (
        lambda: first_key(tmp_path, bytes(32)),
        lambda: become_member(tmp_path / "fleet.key", tmp_path, fleet, may_leave=False),
    ):
        with pytest.raises(ConfigProblem, match="No space left") as refused:
            keep()
        assert refused.value.hint == f"make room on the disk of {tmp_path}"
