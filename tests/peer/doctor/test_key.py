"""The fleet key's file and this peer's id, as the doctor sees them."""

from __future__ import annotations

import random
from pathlib import Path

from cortex.peer.doctor.key import judge_node, look_at_key
from cortex.peer.gossip.identity import StoredNode
from cortex.peer.gossip.ids import NodeId
from cortex.peer.gossip.node_file import write_node
from cortex.peer.keys.fleet_key import new_fleet_key
from cortex.peer.keys.keyring import Keyring, write_keyring

KEY = new_fleet_key(random.Random(3).randbytes)


def test_a_key_of_our_own_is_named_by_its_id_and_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "fleet.key"
    write_keyring(path, Keyring(KEY))

    keyring, finding = look_at_key(path)

    assert keyring == Keyring(KEY)
    assert finding.level == "ok"
    assert KEY.key_id.hex() in finding.text
    assert KEY.text not in finding.text + finding.fix


def test_a_key_that_others_can_read_is_broken_and_the_fix_closes_it(tmp_path: Path) -> None:
    path = tmp_path / "fleet.key"
    write_keyring(path, Keyring(KEY))
    path.chmod(0o644)

    _, finding = look_at_key(path)

    assert finding.level == "FAIL"
    assert "mode 0644" in finding.text
    assert f"chmod 600 {path}" in finding.fix


def test_without_a_key_there_is_a_way_to_get_one(tmp_path: Path) -> None:
    keyring, finding = look_at_key(tmp_path / "fleet.key")

    assert keyring is None
    assert finding.level == "warn"
    assert "cortex join" in finding.fix


def test_a_file_without_a_key_in_it_is_broken_and_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "fleet.key"
    path.write_text("cortex1-secretsecret!\n", encoding="utf-8")

    keyring, finding = look_at_key(path)

    assert keyring is None
    assert finding.level == "FAIL"
    assert "secretsecret" not in finding.text + finding.fix


def test_a_state_directory_of_another_machine_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "node.json"
    assert judge_node(path, "here") == []
    write_node(path, StoredNode(NodeId(b"somebody"), 7, "there"))

    (copied,) = judge_node(path, "here")
    (own,) = judge_node(path, "there")

    assert (copied.level, own.level) == ("warn", "ok")
    assert "copied from another machine" in copied.text
