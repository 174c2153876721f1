"""The file of fleet keys: made once whoever starts, followed by whoever runs."""

from __future__ import annotations

import random
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cortex.peer.keys.fleet_key import FleetKey, new_fleet_key
from cortex.peer.keys.keyring import Keyring, read_keyring, write_keyring
from cortex.peer.keys.keyring_file import first_keyring, held, keyring_changed


def key_of(number: int) -> FleetKey:
    return new_fleet_key(random.Random(number).randbytes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "fleet.key"


def test_the_first_start_makes_a_key_for_its_owner_alone_and_the_next_keeps_it(path: Path) -> None:
    made, is_new = first_keyring(path, random.Random(1).randbytes)
    kept, is_new_again = first_keyring(path, random.Random(2).randbytes)
    assert (made, is_new, is_new_again) == (Keyring(key_of(1)), True, False)
    assert kept == made == read_keyring(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_of_first_starts_at_once_one_makes_the_key(path: Path) -> None:
    num_starts = 8
    together = threading.Barrier(num_starts)

    def random_bytes(length_bytes: int) -> bytes:
        return random.randbytes(length_bytes)

    def start(_: int) -> tuple[Keyring, bool]:
        together.wait(10)
        return first_keyring(path, random_bytes)

    with ThreadPoolExecutor(num_starts) as pool:
        found = list(pool.map(start, range(num_starts)))
    assert len({ring.primary for ring, _ in found}) == 1
    assert [is_new for _, is_new in found].count(True) == 1


def test_who_wants_to_change_the_file_waits_for_who_does(path: Path) -> None:
    order: list[str] = []

    def change() -> None:
        with held(path):
            order.append("second")

    second = threading.Thread(target=change)
    with held(path):
        second.start()
        second.join(0.1)
        order.append("first")
    second.join(10)
    assert order == ["first", "second"]


def test_a_running_peer_follows_a_rotation(path: Path) -> None:
    before = Keyring(key_of(1))
    write_keyring(path, before)
    assert keyring_changed(path, before) is None
    rotated = before.adding(key_of(2)).using(key_of(2).key_id)
    write_keyring(path, rotated)
    assert keyring_changed(path, before) == rotated
    assert keyring_changed(path, rotated) is None
    # Used and dropped between two looks.
    done = rotated.dropping(key_of(1).key_id)
    write_keyring(path, done)
    assert keyring_changed(path, before) == done


def test_another_fleet_is_for_the_next_start(path: Path) -> None:
    write_keyring(path, Keyring(key_of(2)))
    assert keyring_changed(path, Keyring(key_of(1))) is None


@pytest.mark.parametrize("text", [None, "", "nonsense"])
def test_a_file_that_is_gone_or_broken_changes_nothing(path: Path, text: str | None) -> None:
    path.parent.mkdir()
    if text is not None:
        path.write_text(text)
    assert keyring_changed(path, Keyring(key_of(1))) is None
