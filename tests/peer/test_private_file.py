"""Files for their owner alone: whose they are where root writes them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from cortex.peer.private_file import held, next_step, write_new, write_private


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """What root gives to whom, as (name, user, group)."""
    gifts: list[tuple[str, int, int]] = []

    def give(descriptor: int, user: int, group: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        gifts.append((path.name.replace(str(os.getpid()), "PID"), user, group))

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", give)
    return gifts


def owned_by(monkeypatch: pytest.MonkeyPatch, **users: int) -> None:
    """Files and folders of these names are those users'."""
    true_stat = os.stat

    def stat(path: str | Path, **options: bool) -> os.stat_result:
        told = list(true_stat(path, **options))
        told[4] = told[5] = users.get(Path(path).stem, 0)
        return os.stat_result(told)

    monkeypatch.setattr(os, "stat", stat)


def test_what_root_replaces_stays_its_owners(
    tmp_path: Path, given: list[tuple[str, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state" / "fleet.key"
    path.parent.mkdir()
    owned_by(monkeypatch, state=7, fleet=8)
    write_private(path, "a new one is whose folder it is in")
    write_private(path, "another one is whose the old one was")
    assert given == [("fleet.PID.new", 7, 7), ("fleet.PID.new", 8, 8)]
    assert path.read_text().startswith("another")


def test_what_root_makes_anew_is_whose_the_one_before_was(
    tmp_path: Path, given: list[tuple[str, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state" / "fleet.key"
    path.parent.mkdir()
    path.with_name("fleet.key.lock").touch()
    owned_by(monkeypatch, state=7, **{"fleet.key": 8})
    write_private(path, "the one before is gone, and its lock is not")
    assert given == [("fleet.PID.new", 8, 8)]


def test_a_lock_that_root_makes_can_be_taken_by_the_files_owner(
    tmp_path: Path, given: list[tuple[str, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state" / "fleet.key"
    path.parent.mkdir()
    owned_by(monkeypatch, state=7)
    for _ in range(2):
        with held(path):
            pass
    assert given == [("fleet.key.lock", 7, 7)], "one that is there is its maker's"


@pytest.mark.parametrize("is_there", [True, False])
def test_a_lock_is_taken_through_no_link(tmp_path: Path, *, is_there: bool) -> None:
    """The folder is the peer's, and root's command goes to nobody's file by its word."""
    path, target = tmp_path / "fleet.key", tmp_path / "elsewhere"
    if is_there:
        target.write_text("somebody's")
    path.with_name("fleet.key.lock").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"), held(path):
        pass
    assert target.exists() == is_there


def test_a_new_file_is_for_its_owner_alone_and_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "said"
    write_new(path, "ä\n")
    assert (path.read_text(encoding="utf-8"), stat.S_IMODE(path.stat().st_mode)) == ("ä\n", 0o600)
    with pytest.raises(FileExistsError):
        write_new(path, "other")
    assert path.read_text(encoding="utf-8") == "ä\n"


def test_a_new_file_that_does_not_become_whole_is_gone(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_new(tmp_path / "said", "\ud800")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_on_a_full_disk_nobody_is_sent_away_from_what_is_kept_there(code: int) -> None:
    said = next_step(OSError(code, "full"), Path("/state/node.json"), "go elsewhere")
    assert said == "make room on the disk of /state"
    assert next_step(OSError(errno.EACCES, "no"), Path("/s/n"), "go elsewhere") == "go elsewhere"
