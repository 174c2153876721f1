"""A running peer and its file of keys: what goes wrong is told while it is so, and tried again."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import pytest

from cortex.peer.keys.fleet_key import new_fleet_key
from cortex.peer.keys.following import KeyFollower
from cortex.peer.keys.keyring import Keyring, write_keyring

OLD, NEW = (new_fleet_key(random.Random(number).randbytes) for number in (1, 2))


class Peer:
    """Takes rings where there is room, and tells what stands noted."""

    def __init__(self) -> None:
        self.is_full = False
        self.ring = Keyring(OLD)
        self.said: list[str] = []
        self.notes: dict[str, str] = {}

    def rekey(self, ring: Keyring) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.ring = ring

    def note(self, text: str, topic: str = "") -> None:
        self.said.append(text)
        self.notes[topic] = text

    def forget(self, topic: str) -> None:
        self.notes.pop(topic, None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_keyring(tmp_path / "fleet.key", Keyring(OLD))
    return tmp_path / "fleet.key"


async def test_keys_that_could_not_be_taken_up_are_tried_again(path: Path):
    peer = Peer()
    follower = KeyFollower(path, peer.ring, peer.rekey, peer)
    changed = peer.ring.adding(NEW)
    write_keyring(path, changed)
    peer.is_full = True
    await follower.look()
    await follower.look()
    assert peer.ring == Keyring(OLD)
    assert len(set(peer.said)) == 1 and "No space left" in peer.said[0]
    peer.is_full = False
    await follower.look()
    assert (peer.ring, peer.notes) == (changed, {})


async def test_a_key_file_that_cannot_be_read_is_noted_while_it_is_so_and_logged_once(
    path: Path, caplog: pytest.LogCaptureFixture
):
    peer, folder = Peer(), path.parent
    follower = KeyFollower(folder, peer.ring, peer.rekey, peer)
    await follower.look()
    await follower.look()
    assert len(peer.said) == 2 and all(str(folder) in each for each in peer.said)
    assert caplog.text.count("cannot read the fleet keys") == 1
