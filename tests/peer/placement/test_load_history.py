"""How long a load will take, by those that this fleet has seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.stream import Stage
from cortex.peer.fleet.view import FleetView, PeerView, PlacedModel, PlacementState, StoredModel
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.placement import load_history
from cortex.peer.placement.load_history import LoadHistory, remaining_s, with_eta

ONE, OTHER = ModelId(b"model--1"), ModelId(b"model--2")
HERE, THERE = NodeId(b"node---1"), NodeId(b"node---2")
GIB = 1 << 30


@pytest.fixture
def history(tmp_path: Path) -> LoadHistory:
    return LoadHistory(tmp_path / "state" / "learned.json")


def view_of(
    state: PlacementState | None, percent: int | None = 0, node: NodeId = THERE
) -> FleetView:
    stored = tuple(StoredModel(m, m.decode(), 2 * GIB, 1, ("text",), 0) for m in (ONE, OTHER))
    placed = () if state is None else (PlacedModel(ONE, "m", state, GIB, 1, percent=percent),)
    peer = PeerView(node, 1, "p", "up", node == HERE, stored=stored, placed=placed)
    return FleetView("fleet", HERE, peers=(peer,))


def test_middle_one_of_the_last_loads_is_expected(history: LoadHistory):
    for seconds in (500.0, *[10.0] * 4, 12.0, *[14.0] * 3):
        history.add(ONE, GIB, seconds)
    assert history.eta_s(ONE) == 11.0, "the first of nine is forgotten, and no longer counts"


async def test_peer_is_judged_by_its_own_loads_and_by_all_where_it_has_none(history: LoadHistory):
    for seconds, node in ((9.0, load_history.HERE), (90.0, THERE), (11.0, load_history.HERE)):
        history.add(ONE, GIB, seconds, node)
    history.see(view_of(None), 0)
    await history.save()
    later = LoadHistory(history._path)  # pyright: ignore
    later.read()
    later.see(view_of(None), 0)
    for each in (history, later):
        assert (each.eta_at_s(HERE, ONE), each.eta_at_s(THERE, ONE)) == (10.0, 90.0)
        assert each.eta_at_s(NodeId(b"node---3"), ONE) == 11.0, "as this fleet loads it"
        assert each.eta_at_s(load_history.HERE, ONE) == 10.0, "whatever it is called"


def test_loads_of_very_many_peers_are_those_of_the_last(
    history: LoadHistory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(load_history, "_MAX_NODES", 1)
    history.add(ONE, GIB, 9.0, NodeId(b"node---3"))
    history.add(ONE, GIB, 90.0, THERE)
    assert history.eta_at_s(NodeId(b"node---3"), ONE) == history.eta_s(ONE) == 49.5


def test_model_never_loaded_is_judged_by_its_size_and_by_how_fast_others_came(history: LoadHistory):
    assert history.eta_s(OTHER, 3 * GIB) is None
    history.add(ONE, GIB, 4.0)
    assert history.eta_s(OTHER, 3 * GIB) == pytest.approx(12.0)
    assert history.eta_s(OTHER) is None, "its size is not known"
    history.see(view_of(None), 0)
    assert history.eta_s(OTHER) == pytest.approx(8.0)


def test_how_fast_others_came_is_found_once_for_all_models_until_another_load(
    history: LoadHistory, monkeypatch: pytest.MonkeyPatch
):
    for number, seconds in enumerate((2.0, 4.0, 6.0)):
        history.add(ModelId(b"other--%d" % number), GIB, seconds)
    assert history.eta_s(OTHER, GIB) == pytest.approx(4.0)
    with monkeypatch.context() as no_more:
        no_more.delattr(load_history.statistics, "median")
        assert history.eta_s(ONE, 2 * GIB) == pytest.approx(8.0)
    history.add(ModelId(b"model--3"), GIB, 8.0)
    assert history.eta_s(OTHER, GIB) == pytest.approx(5.0)


def test_disk_is_gone_through_again_only_where_it_has_changed(history: LoadHistory):
    class Disk(tuple[StoredModel, ...]):
        num_reads = 0

        def __iter__(self) -> Iterator[StoredModel]:
            self.num_reads += 1
            return super().__iter__()

    view = view_of("loading")
    [peer] = view.peers
    disk = Disk(peer.stored)
    for percent in (0, 1, 2):
        placed = (replace(peer.placed[0], percent=percent),)
        busy = replace(peer, stored=disk, placed=placed)
        history.see(replace(view, peers=(busy,)), percent)
    assert disk.num_reads == 1
    history.add(ModelId(b"model--3"), GIB, 4.0)
    assert history.eta_s(OTHER) == pytest.approx(8.0)


def test_sizes_of_the_models_seen_last_are_kept(
    history: LoadHistory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(load_history, "_MAX_SIZES", 2)
    history.add(ModelId(b"model--3"), GIB, 4.0)
    view = view_of(None)
    history.see(view, 0)
    [peer] = view.peers
    third = replace(peer.stored[0], model=ModelId(b"model--4"))
    history.see(replace(view, peers=(replace(peer, stored=(peer.stored[1], third)),)), 1)
    assert history.eta_s(OTHER) == history.eta_s(third.model) == pytest.approx(8.0)
    assert history.eta_s(ONE) is None


def test_load_of_another_peer_is_learned_from_its_first_word_to_the_ready_model(
    history: LoadHistory,
):
    history.see(view_of(None), 0)
    history.see(view_of("loading", None), 5)
    history.see(view_of("loading", 50), 10)
    history.see(view_of("ready"), 17)
    assert history.eta_s(ONE) == 12
    history.see(view_of(None), 20)
    history.see(view_of("ready"), 30)
    assert history.eta_s(ONE) == 12, "a load that nobody saw begin teaches nothing"


@pytest.mark.parametrize("middle", [None, "gone"])
def test_load_seen_from_its_middle_or_that_failed_teaches_nothing(
    history: LoadHistory, middle: str | None
):
    if middle is None:
        history.see(view_of("loading", 60), 0)
    else:
        history.see(view_of("loading", 0), 0)
        history.see(view_of(None), 1)
    history.see(view_of("ready"), 2)
    assert history.eta_s(ONE) is None


def test_own_loads_are_measured_and_not_seen(history: LoadHistory):
    history.see(view_of("loading", node=HERE), 0)
    history.see(view_of("ready", node=HERE), 9)
    assert history.eta_s(ONE) is None


def test_peer_that_leaves_takes_its_loads_with_it(history: LoadHistory):
    history.see(view_of("loading"), 0)
    history.see(replace(view_of(None), peers=()), 1)
    history.see(view_of("ready"), 2)
    assert history.eta_s(ONE) is None


async def test_times_outlive_the_peer_and_what_others_keep_beside_them_stays(tmp_path: Path):
    path = tmp_path / "learned.json"
    path.write_text('{"corrections": [1]}')
    history = LoadHistory(path)
    history.add(ONE, GIB, 3.0)
    await history.save()
    later = LoadHistory(path)
    later.read()
    assert later.eta_s(ONE) == 3.0
    assert later.eta_s(OTHER, 2 * GIB) == pytest.approx(6.0)
    assert json.loads(path.read_text())["corrections"] == [1]


HUGE = f'{{"loads": {{"{ONE.hex()}": {{"size_bytes": 1{"0" * 400}, "seconds": [1.0]}}}}}}'


@pytest.mark.parametrize(
    "text", ["", "[]", '{"loads": 1}', '{"loads": {"zz": {"size_bytes": 1, "seconds": []}}}', HUGE]
)
def test_broken_file_is_an_empty_history(tmp_path: Path, text: str):
    path = tmp_path / "learned.json"
    path.write_text(text)
    history = LoadHistory(path)
    history.read()
    assert history.eta_s(ONE) is None


async def test_disk_that_takes_nothing_costs_the_memory_alone(tmp_path: Path):
    (tmp_path / "file").write_text("")
    history = LoadHistory(tmp_path / "file" / "learned.json")
    history.add(ONE, GIB, 3.0)
    await history.save()
    assert history.eta_s(ONE) == 3.0


def test_models_are_not_remembered_without_bound(history: LoadHistory):
    for n in range(300):
        history.add(ModelId(n.to_bytes(8, "big")), GIB, 1.0)
    assert history.eta_s(ModelId(bytes(8))) is None
    assert history.eta_s(ModelId((299).to_bytes(8, "big"))) == 1.0


def test_what_is_left_is_told_by_earlier_loads_and_then_by_this_ones_bytes():
    assert remaining_s(20.0, 5.0, 0.9) == 15.0
    assert remaining_s(20.0, 30.0, 0.75) == pytest.approx(10.0), "slower than ever before"
    assert remaining_s(None, 1.0, 0.01) is None
    stage = Stage("loading", 1, 4, "bytes")
    assert with_eta(stage, None, 3.0) == Stage("loading", 1, 4, "bytes", eta_s=9.0)
    assert with_eta(Stage("starting"), 8.0, 3.0) == Stage("starting", eta_s=5.0)


@given(st.none() | st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 1, exclude_max=True))
def test_nothing_takes_less_than_no_time(whole_s: float | None, elapsed_s: float, share: float):
    left_s = remaining_s(whole_s, elapsed_s, share)
    assert left_s is None or left_s >= 0
