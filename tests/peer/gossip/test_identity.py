"""Who a peer is: from one run to the next, against old words about it, and against its double."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cortex.peer.gossip.identity import (
    Doubles,
    Identity,
    StoredNode,
    begun,
    next_stored,
    refuted,
)
from cortex.peer.gossip.ids import BootId, NodeId
from cortex.peer.gossip.node_file import machine_hash, read_node, take_up, write_node
from cortex.peer.keys.fleet_key import RandomBytes

NODE = NodeId(b"the node")
NOW = 1_795_000_000
HIGHEST = 2**32 - 1
U32 = st.integers(0, HIGHEST)
STORED = StoredNode(NODE, NOW - 100, "here")
OWN = Identity(NODE, BootId(b"boot   5"), 1000, 2)
SMALLER, LARGER = b"boot   4", b"boot   6"


def test_a_first_run_makes_a_node_and_begins_with_the_clock(random_bytes: RandomBytes) -> None:
    stored = next_stored(None, "here", NOW, random_bytes)
    assert len(stored.node) == 8
    assert (stored.gen, stored.machine) == (NOW, "here")
    assert next_stored(None, "here", NOW, random_bytes).node != stored.node


@given(U32, st.integers(-(2**40), 2**40))
@example(HIGHEST, NOW)
@example(HIGHEST - 1, NOW)
def test_a_later_run_is_of_a_higher_generation_whatever_the_clock_says(
    gen: int, unix_time_s: int
) -> None:
    stored = replace(STORED, gen=gen)
    after = next_stored(stored, "here", unix_time_s, random.Random(1).randbytes)
    assert 0 <= after.gen <= HIGHEST
    if after.node == NODE:
        assert after.gen > gen
        assert after.gen >= min(unix_time_s, HIGHEST)
    else:
        assert gen == HIGHEST


def test_a_clock_that_jumped_back_is_no_matter(random_bytes: RandomBytes) -> None:
    assert next_stored(STORED, "here", 5, random_bytes).gen == STORED.gen + 1


@pytest.mark.parametrize(
    ("stored", "found", "is_kept"),
    [("here", "here", True), ("here", "there", False), ("", "here", True), ("here", "", True)],
)
def test_a_state_directory_on_another_machine_is_a_copy(
    random_bytes: RandomBytes, stored: str, found: str, is_kept: bool
) -> None:
    after = next_stored(replace(STORED, machine=stored), found, NOW, random_bytes)
    assert (after.node == NODE) is is_kept
    assert after.machine == (found or stored)


def test_every_run_has_a_boot_of_its_own(random_bytes: RandomBytes) -> None:
    one, two = begun(STORED, random_bytes), begun(STORED, random_bytes)
    assert one.boot != two.boot
    assert (one.node, one.gen, one.inc) == (NODE, STORED.gen, 0)


@given(U32, U32, U32, U32)
def test_a_refuted_word_counts_no_longer(own_gen: int, own_inc: int, gen: int, inc: int) -> None:
    own = replace(OWN, gen=own_gen, inc=own_inc)
    after = refuted(own, gen, inc, random.Random(1).randbytes)
    assert after.node != own.node or (after.gen, after.inc) > (gen, inc)
    assert (after.gen, after.inc) <= (HIGHEST, HIGHEST)


def test_an_old_word_needs_no_refuting(random_bytes: RandomBytes) -> None:
    assert refuted(OWN, OWN.gen, OWN.inc - 1, random_bytes) is OWN
    assert refuted(OWN, OWN.gen - 1, HIGHEST, random_bytes) is OWN


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ((1000, 2), (1000, 3)),
        ((1000, 9), (1000, 10)),
        ((1000, HIGHEST), (1001, 0)),
        ((1004, 7), (1005, 0)),
    ],
)
def test_a_word_is_refuted_by_going_just_above_it(
    random_bytes: RandomBytes, word: tuple[int, int], expected: tuple[int, int]
) -> None:
    after = refuted(OWN, *word, random_bytes)
    assert (after.node, (after.gen, after.inc)) == (NODE, expected)


def test_above_the_highest_word_there_is_only_another_name(random_bytes: RandomBytes) -> None:
    assert refuted(OWN, HIGHEST, HIGHEST, random_bytes).node != NODE


def test_our_own_words_and_older_runs_are_no_doubles(random_bytes: RandomBytes) -> None:
    doubles = Doubles()
    for now_s in range(5):
        assert doubles.meet(float(now_s), OWN, OWN.boot, OWN.gen, random_bytes) is OWN
        assert doubles.meet(float(now_s), OWN, SMALLER, OWN.gen - 1, random_bytes) is OWN


def test_a_restored_backup_goes_above_what_it_finds(random_bytes: RandomBytes) -> None:
    after = Doubles().meet(0.0, OWN, LARGER, OWN.gen + 7, random_bytes)
    assert (after.node, after.gen, after.inc) == (NODE, OWN.gen + 8, 0)


def test_a_second_meeting_later_than_a_minute_is_a_first_again(random_bytes: RandomBytes) -> None:
    doubles = Doubles()
    once = doubles.meet(0.0, OWN, LARGER, OWN.gen, random_bytes)
    again = doubles.meet(60.1, once, LARGER, once.gen, random_bytes)
    assert (again.node, again.gen) == (NODE, once.gen + 1)


def test_of_two_clones_the_smaller_boot_takes_another_name(random_bytes: RandomBytes) -> None:
    """Both hear each other, and answer each word with a higher generation."""
    small, large = replace(OWN, boot=BootId(SMALLER)), replace(OWN, boot=BootId(LARGER))
    of_small, of_large = Doubles(), Doubles()
    for now_s in (1.0, 2.0, 3.0):
        small = of_small.meet(now_s, small, large.boot, large.gen, random_bytes)
        if small.node != NODE:
            break
        large = of_large.meet(now_s, large, small.boot, small.gen, random_bytes)
    assert small.node != NODE
    assert large.node == NODE
    assert small.boot == SMALLER


def test_a_generation_is_on_disk_before_the_run_begins(
    tmp_path: Path, random_bytes: RandomBytes
) -> None:
    path = tmp_path / "state" / "node.json"
    first = take_up(path, "here", NOW, random_bytes)
    stored = read_node(path)
    assert stored == StoredNode(first.node, NOW, "here")
    assert path.stat().st_mode & 0o777 == 0o600
    second = take_up(path, "here", NOW - 50, random_bytes)
    assert (second.node, second.gen) == (first.node, NOW + 1)
    assert second.boot != first.boot


def test_a_run_that_cannot_store_its_generation_does_not_begin(
    tmp_path: Path, random_bytes: RandomBytes
) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    with pytest.raises(OSError):
        take_up(tmp_path / "state" / "node.json", "here", NOW, random_bytes)


@given(st.binary(max_size=60))
def test_what_cannot_be_read_is_as_good_as_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("state") / "node.json"
    path.write_bytes(data)
    assert read_node(path) is None


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"node": "xyz", "gen": 1}',
        '{"node": "0011223344556677", "gen": -1}',
        '{"node": "0011223344556677", "gen": 4294967296}',
        '{"node": "0011223344556677"}',
    ],
)
def test_a_broken_node_file_makes_a_new_node(
    tmp_path: Path, random_bytes: RandomBytes, text: str
) -> None:
    path = tmp_path / "node.json"
    path.write_text(text)
    assert read_node(path) is None
    assert take_up(path, "here", NOW, random_bytes).gen == NOW


@given(st.binary(min_size=8, max_size=8).map(NodeId), U32, st.text(max_size=20))
def test_a_node_is_read_back_from_its_file(
    tmp_path_factory: pytest.TempPathFactory, node: NodeId, gen: int, machine: str
) -> None:
    path = tmp_path_factory.mktemp("state") / "node.json"
    write_node(path, StoredNode(node, gen, machine))
    assert read_node(path) == StoredNode(node, gen, machine)


def test_a_machine_is_known_by_a_hash_of_its_id(tmp_path: Path) -> None:
    one, empty, missing = tmp_path / "one", tmp_path / "empty", tmp_path / "missing"
    one.write_text("4c4c4544004b\n")
    empty.write_text("\n")
    seen = machine_hash((missing, empty, one))
    assert len(seen) == 16
    assert "4c4c" not in seen
    assert seen == machine_hash((one,))
    assert machine_hash((missing, empty)) == ""
