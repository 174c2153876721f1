"""One peer a state directory."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cortex.peer.config import FleetConfig, PeerConfig
from cortex.peer.errors import CannotAnnounce, CannotKeepIdentity, StateInUse
from cortex.peer.keys.keyring_file import first_keyring
from cortex.peer.serving.announcement import Announcement, announced
from cortex.peer.serving.server import serving
from cortex.peer.serving.state_lock import holder_of, only_peer_of

HOLD = """
import sys
from pathlib import Path
from cortex.peer.serving.state_lock import only_peer_of
with only_peer_of(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_is_told_the_directory_and_the_process(tmp_path: Path) -> None:
    with only_peer_of(tmp_path), pytest.raises(StateInUse) as caught, only_peer_of(tmp_path):
        pass
    assert str(tmp_path) in caught.value.message
    assert f"process {os.getpid()}" in caught.value.message
    assert "--state-dir" in caught.value.hint
    with only_peer_of(tmp_path):
        assert stat.S_IMODE((tmp_path / "peer.lock").stat().st_mode) == 0o600


def test_a_peer_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        (sys.executable, "-c", HOLD, str(tmp_path)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(StateInUse, match=f"process {holder.pid}"), only_peer_of(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
        with only_peer_of(tmp_path):
            pass


def test_who_begins_while_somebody_looks_who_runs_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "peer.lock").open("w") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)

        def stop_looking(_: float) -> None:
            looking.close()

        monkeypatch.setattr(time, "sleep", stop_looking)
        with only_peer_of(tmp_path):
            assert holder_of(tmp_path) == str(os.getpid())


def test_a_directory_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotKeepIdentity, match="file"), only_peer_of(tmp_path / "file"):
        pass


@pytest.mark.parametrize("is_there", [True, False])
def test_a_lock_that_leads_elsewhere_is_told_and_left_alone(
    tmp_path: Path, *, is_there: bool
) -> None:
    state, target = tmp_path / "state", tmp_path / "elsewhere"
    state.mkdir()
    if is_there:
        target.write_text("somebody's")
    (state / "peer.lock").symlink_to(target)
    with (
        pytest.raises(CannotKeepIdentity, match=r"peer\.lock: .*symbolic links"),
        only_peer_of(state),
    ):
        pass
    assert holder_of(state) is None
    assert (target.read_text() if target.exists() else None) == ("somebody's" if is_there else None)


async def test_a_member_of_a_fleet_is_refused_before_it_listens(
    make_config: Callable[..., PeerConfig],
) -> None:
    config = make_config()
    state = config.locations.state_dir
    fleet = FleetConfig("two", state / "fleet.key", host="127.0.0.1", port=0, has_mdns=False)
    with only_peer_of(state), pytest.raises(StateInUse):
        async with serving(make_config(fleet=fleet)):
            pass
    assert not (state / "node.json").exists()


def test_a_lock_is_taken_where_nothing_can_be_written_into_it(tmp_path: Path) -> None:
    with only_peer_of(tmp_path):
        pass
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with only_peer_of(tmp_path), pytest.raises(StateInUse) as caught, only_peer_of(tmp_path):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "process unknown" in caught.value.message


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written privately has no room from now on."""

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)


async def test_a_peer_on_a_full_disk_is_told_to_make_room_and_keeps_its_identity(
    make_config: Callable[..., PeerConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = make_config().locations.state_dir
    fleet = FleetConfig("two", state / "fleet.key", host="127.0.0.1", port=0, has_mdns=False)
    first_keyring(fleet.key_file, os.urandom)
    fill_disk(monkeypatch)
    with pytest.raises(CannotKeepIdentity, match=r"node\.json: No space left") as caught:
        async with serving(make_config(fleet=fleet)):
            pass
    assert caught.value.hint == f"make room on the disk of {state}"


def test_a_note_that_has_no_room_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_disk(monkeypatch)
    leaving = announced(tmp_path, Announcement("a", os.getpid(), "127.0.0.1", 1, 1))
    with pytest.raises(CannotAnnounce) as caught, leaving:
        pass
    assert caught.value.hint == f"make room on the disk of {tmp_path}"
