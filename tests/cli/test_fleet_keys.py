"""`cortex key`, `cortex join` and `cortex leave`, as a person meets them."""

from __future__ import annotations

import json
import os
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex.cli import main
from cortex.cli.config import Invocation, find_locations
from cortex.cli.running import name_running
from cortex.peer.keys.fleet_key import FleetKey, new_fleet_key
from cortex.peer.keys.keyring import MAX_KEYS, Keyring, read_keyring, write_keyring
from cortex.peer.locations import Locations
from cortex.peer.serving.announcement import Announcement, announced
from cortex.peer.serving.state_lock import only_peer_of

OLD, NEW, FOREIGN = (new_fleet_key(random.Random(number).randbytes) for number in (1, 2, 3))

Run = Callable[..., tuple[int, str, str]]
Cortex = Callable[..., Any]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "fleet.key"


@pytest.fixture
def run(path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command about that file; its exit code, and what it said on both streams."""

    def run_command(*arguments: str) -> tuple[int, str, str]:
        invocation = Invocation(find_locations({}), can_redraw=False)
        code = main.run([*arguments, "--state-dir", str(path.parent)], invocation)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run_command


def ring_of(*keys: FleetKey) -> Keyring:
    return Keyring(keys[0], keys[1:])


def test_the_line_that_is_shown_lets_another_machine_join(run: Run, path: Path) -> None:
    write_keyring(path, Keyring(OLD))
    code, line, _ = run("key")
    assert (code, line) == (0, f"cortex join {OLD.text}\n")
    path.unlink()
    assert run(*line.split()[1:])[0] == 0
    assert read_keyring(path) == Keyring(OLD)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("arguments", [("key",), ("key", "list"), ("key", "new"), ("leave",)])
def test_where_no_key_is_it_is_said_how_to_come_by_one(run: Run, arguments: tuple[str]) -> None:
    code, shown, said = run(*arguments)
    assert (code, shown) == (2, "")
    assert "there is no fleet key in" in said
    assert "cortex join KEY" in said


def test_a_key_is_changed_in_four_steps(run: Run, path: Path) -> None:
    write_keyring(path, Keyring(OLD))
    made, to_add, to_use = run("key", "new")[1].splitlines()
    new = to_add.split()[-1]
    new_id = made.split()[1].rstrip(",")
    assert to_use.endswith(f"cortex key use {new_id}")
    ring = read_keyring(path)
    assert ring is not None
    assert (ring.primary, ring.others[0].text) == (OLD, new)
    assert run("key", "use", new_id)[0] == 0
    assert run("key", "list")[1].split()[2:] == [new_id, "used", OLD.key_id.hex(), "trusted"]
    assert run("key", "drop", OLD.key_id.hex())[0] == 0
    assert run("key", "list")[1].split()[2:] == [new_id, "used", OLD.key_id.hex(), "retired"]


def test_a_key_that_is_added_is_trusted_and_not_used(run: Run, path: Path) -> None:
    write_keyring(path, Keyring(OLD))
    assert run("key", "add", NEW.text)[0] == 0
    assert read_keyring(path) == ring_of(OLD, NEW)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("key", "frob"), "cortex key takes show, new, list, add, use or drop."),
        (("key", "use"), "cortex key use takes one ID."),
        (("key", "list", "all"), "cortex key list takes nothing more."),
        (("key", "use", "xyz"), "8 hexadecimal digits"),
        (("key", "use", NEW.key_id.hex()), "is not held here"),
        (("key", "drop", OLD.key_id.hex()), "is in use"),
        (("join", "cortex1-abc!"), "'!' at place 4 after cortex1- is in no fleet key"),
        (("join", OLD.text[:-3]), "52 letters after cortex1-, this one 49"),
        (("join", "sk-cortex-abc"), "a fleet key begins with cortex1-"),
    ],
)
def test_what_cannot_be_is_one_error_and_changes_nothing(
    run: Run, path: Path, arguments: tuple[str, ...], words: str
) -> None:
    write_keyring(path, Keyring(OLD))
    code, shown, said = run(*arguments)
    assert (code, shown, said.count("error: ")) == (2, "", 1)
    assert words in said
    assert read_keyring(path) == Keyring(OLD)


@pytest.mark.parametrize(
    "arguments",
    [
        ("key", FOREIGN.text),
        ("key", "use", FOREIGN.text),
        ("key", "add", FOREIGN.text + "a"),
        ("key", "list", FOREIGN.text),
        ("join", FOREIGN.text),
        ("join", FOREIGN.text, "--config", "no-such-file"),
        ("leave", FOREIGN.text),
        (FOREIGN.text.upper(),),
        ("peer", "--join", f"{FOREIGN.text}:x"),
    ],
)
def test_no_error_repeats_a_key(run: Run, path: Path, arguments: tuple[str, ...]) -> None:
    write_keyring(path, Keyring(OLD))
    code, shown, said = run(*arguments)
    assert code == 2
    for key in (OLD, FOREIGN):
        assert key.text.removeprefix("cortex1-")[:12] not in (shown + said).lower()


def test_the_key_of_another_fleet_is_kept_where_it_is_replaced(run: Run, path: Path) -> None:
    write_keyring(path, ring_of(OLD, NEW))
    met = path.with_name("peers.json")
    met.write_text("[]")
    code, _, said = run("join", FOREIGN.text)
    assert (code, read_keyring(path), met.exists()) == (2, ring_of(OLD, NEW), True)
    assert "add --yes" in said
    assert run("join", FOREIGN.text, "--yes")[0] == 0
    assert read_keyring(path) == Keyring(FOREIGN)
    aside = path.with_name(f"fleet.key.left-{OLD.key_id.hex()}")
    assert read_keyring(aside) == ring_of(OLD, NEW)
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    assert not met.exists(), "nobody of the old fleet is called on"


def test_joining_ones_own_fleet_uses_the_key_that_was_named(run: Run, path: Path) -> None:
    write_keyring(path, ring_of(OLD, NEW))
    assert run("join", OLD.text)[0] == 0
    assert read_keyring(path) == ring_of(OLD, NEW)
    assert run("join", NEW.text)[0] == 0
    assert read_keyring(path) == ring_of(NEW, OLD)


def test_a_ring_that_is_full_takes_no_more(run: Run, path: Path) -> None:
    keys = [new_fleet_key(random.Random(number).randbytes) for number in range(10, 10 + MAX_KEYS)]
    write_keyring(path, ring_of(*keys))
    code, _, said = run("key", "new")
    assert (code, "cortex key drop" in said) == (2, True)


def test_leaving_keeps_the_key_aside(run: Run, path: Path) -> None:
    write_keyring(path, Keyring(OLD))
    code, shown, _ = run("leave")
    aside = path.with_name(f"fleet.key.left-{OLD.key_id.hex()}")
    assert (code, str(aside) in shown, path.exists()) == (0, True, False)
    assert read_keyring(aside) == Keyring(OLD)


def test_who_runs_is_told_to_be_restarted_where_it_would_stay(run: Run, path: Path) -> None:
    write_keyring(path, Keyring(OLD))
    with only_peer_of(path.parent):
        assert f"process {os.getpid()}" in run("join", FOREIGN.text, "--yes")[1]
        assert f"process {os.getpid()}" in run("leave")[1]
        assert f"process {os.getpid()}" in run("join", OLD.text)[1], "it was of the other fleet"
        joined = run("join", OLD.text)[1]
        assert "process" not in joined and "start with" not in joined, "it has that key already"


def test_a_note_that_a_killed_peer_left_in_its_state_folder_is_not_believed(
    run: Run, path: Path
) -> None:
    write_keyring(path, Keyring(OLD))
    note = {"node": "ab", "pid": os.getpid(), "host": "127.0.0.1", "port": 1, "started_s": 0}
    path.with_name("ab.json").write_text(json.dumps(note))
    assert "process" not in run("leave")[1]


def test_a_note_of_this_run_of_the_machine_is_believed(path: Path) -> None:
    locations = Locations(path.parent, path.parent, runtime_dir=path.parent.parent / "run")
    note = Announcement("ab", os.getpid(), "127.0.0.1", 1, 0)
    with announced(locations.announcements_dir, note):
        assert f"process {os.getpid()}" in (name_running(locations) or "")
    assert name_running(locations) is None


def test_a_key_that_root_replaces_stays_its_owners(
    run: Run, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_keyring(path, Keyring(OLD))
    path.with_name("fleet.key.lock").touch()
    true_stat, given = os.stat, list[int]()

    def stat(place: str | Path, **options: bool) -> os.stat_result:
        told = list(true_stat(place, **options))
        told[4] = told[5] = 7 if Path(place).name == path.name else 0
        return os.stat_result(told)

    def give(_: int, user: int, group: int) -> None:
        assert user == group
        given.append(user)

    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 0)
        patch.setattr(os, "stat", stat)
        patch.setattr(os, "fchown", give)
        assert run("join", FOREIGN.text, "--yes")[0] == 0
    assert given == [7], "its folder and its lock are root's"


def test_a_peer_is_known_to_run_by_its_state_folder_alone(run: Run, path: Path) -> None:
    write_keyring(path, Keyring(OLD))
    with only_peer_of(path.parent):
        assert f"process {os.getpid()}" in run("leave")[1]


def test_no_key_is_used_or_dropped_while_the_peer_that_runs_says_nothing(
    run: Run, path: Path
) -> None:
    write_keyring(path, ring_of(OLD, NEW))
    use, drop = ("key", "use", NEW.key_id.hex()), ("key", "drop", NEW.key_id.hex())
    with only_peer_of(path.parent):
        for arguments in (use, drop):
            code, _, said = run(*arguments)
            assert (code, read_keyring(path)) == (2, ring_of(OLD, NEW))
            assert f"process {os.getpid()}" in said and "--yes" in said
        assert run(*use, "--yes")[0] == 0
    assert read_keyring(path) == ring_of(NEW, OLD)


def test_the_file_may_lie_elsewhere_and_settings_say_so(
    run: Run, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed, in_environment = tmp_path / "typed.key", tmp_path / "environment.key"
    assert run("join", OLD.text, "--key-file", str(typed))[0] == 0
    monkeypatch.setenv("CORTEX_KEY_FILE", str(in_environment))
    assert run("join", NEW.text)[0] == 0
    monkeypatch.delenv("CORTEX_KEY_FILE")
    (tmp_path / "cortex.toml").write_text('[fleet]\nkey_file = "settings.key"\n')
    assert run("join", FOREIGN.text, "--config", str(tmp_path / "cortex.toml"))[0] == 0
    files = (typed, in_environment, tmp_path / "settings.key")
    assert [read_keyring(file) for file in files] == [Keyring(key) for key in (OLD, NEW, FOREIGN)]
    assert not path.exists()


@pytest.mark.parametrize("line", [OLD.text, f"cortex join {OLD.text}\n", f" {OLD.text.upper()} "])
def test_a_key_comes_by_standard_input_too(cortex_here: Cortex, path: Path, line: str) -> None:
    joined = cortex_here("join", "-", "--state-dir", str(path.parent), stdin=line.encode())
    assert (joined.code, read_keyring(path)) == (0, Keyring(OLD))
    added = cortex_here("key", "add", "-", "--state-dir", str(path.parent), stdin=NEW.text.encode())
    assert (added.code, read_keyring(path)) == (0, ring_of(OLD, NEW))


def test_nothing_on_standard_input_is_no_key(cortex_here: Cortex, path: Path) -> None:
    done = cortex_here("join", "-", "--state-dir", str(path.parent), stdin=b"")
    assert (done.code, path.exists()) == (2, False)


def test_a_place_where_no_file_can_be_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    nowhere = tmp_path / "file" / "fleet.key"
    code, _, said = run("join", OLD.text, "--key-file", str(nowhere))
    assert (code, f"cannot use {nowhere}" in said) == (2, True)


def test_keys_are_told_to_programs_too(run: Run, path: Path) -> None:
    write_keyring(path, ring_of(OLD, NEW))
    listed = json.loads(run("key", "list", "--json")[1])
    held = [{"id": OLD.key_id.hex(), "state": "used"}, {"id": NEW.key_id.hex(), "state": "trusted"}]
    assert listed == {"schema": 1, "keys": held}
    assert json.loads(run("key", "--json")[1])["join"] == f"cortex join {OLD.text}"
    assert run("key", "new", "--json")[:2] == (2, "")
    assert read_keyring(path) == ring_of(OLD, NEW)
