"""What becomes of each model, out of where it is and of what was ordered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cortex.peer.onlooker import model_wording as wording
from cortex.peer.onlooker.job_pictures import ErrorPicture, JobPicture
from cortex.peer.onlooker.model_pictures import ColdPicture, ModelPicture, WarmPicture
from cortex.peer.onlooker.model_rows import ModelRow, largest_device_bytes, model_rows
from cortex.peer.onlooker.pictures import DevicePicture, FleetPicture, PeerPicture
from cortex.peer.units import tokens

GIB = 1 << 30
MODEL = ModelPicture("qwen", "77aa", (), 8 * GIB, 32768, True, (), (ColdPicture("atlas", 2.0),))
WARM = WarmPicture("atlas", 0, "ready", None, 32768, 4, 9 * GIB, False, 3, 1)
LOAD = JobPicture("job_1", "load", "running", "atlas", "qwen", "loading", 3, 4, "bytes", 1.0, 5.0)
FAILED = replace(LOAD, state="failed", stage="", error=ErrorPicture("x", "cut off", "get it"))


def row(model: ModelPicture = MODEL, *jobs: JobPicture, largest: int | None = None) -> ModelRow:
    [only] = model_rows([model], jobs, largest)
    return only


def warm(*places: WarmPicture) -> ModelPicture:
    return replace(MODEL, warm=places)


@pytest.mark.parametrize(
    ("model", "jobs", "words"),
    [
        (MODEL, (), "disk"),
        (warm(WARM), (), "warm"),
        (warm(replace(WARM, is_pinned=True)), (), "warm, pinned"),
        (warm(replace(WARM, state="unloading")), (), "unloading"),
        (warm(replace(WARM, state="loading", percent=41)), (), "loading 41%"),
        (warm(replace(WARM, state="loading")), (), "loading"),
        (warm(WARM, replace(WARM, peer="b", state="loading", percent=9)), (), "loading 9%"),
        (MODEL, (LOAD,), "loading 75%"),
        (MODEL, (replace(LOAD, done=9),), "loading 100%"),
        (MODEL, (replace(LOAD, state="queued", stage=""),), "waiting"),
        (MODEL, (replace(LOAD, stage="queued"),), "waiting"),
        (MODEL, (FAILED,), "failed"),
        (warm(WARM), (FAILED,), "warm"),
        # The last word of a peer counts.
        (MODEL, (FAILED, replace(LOAD, state="done")), "disk"),
        (MODEL, (replace(LOAD, state="done"), FAILED), "failed"),
        (MODEL, (replace(FAILED, kind="unload"),), "disk"),
        # Another model's, or that of a peer which has others of this name.
        (MODEL, (replace(FAILED, model="gemma"),), "disk"),
        (MODEL, (replace(FAILED, peer="borea"),), "disk"),
    ],
)
def test_a_model_is_in_one_state(
    model: ModelPicture, jobs: tuple[JobPicture, ...], words: str
) -> None:
    assert wording.state(row(model, *jobs)) == words


PULL = replace(LOAD, kind="pull", peer="borea", stage="pulling", done=31, total=100)


@pytest.mark.parametrize(
    ("model", "jobs", "words"),
    [
        (MODEL, (PULL,), "pull 31%"),
        (MODEL, (replace(PULL, stage="asking the hub", total=0),), "pull"),
        (MODEL, (FAILED, PULL), "pull 31%"),
        (MODEL, (PULL, LOAD), "loading 75%"),
        (warm(WARM), (PULL,), "warm"),
        (MODEL, (replace(PULL, state="failed"),), "disk"),
        (MODEL, (replace(PULL, state="done"),), "disk"),
    ],
)
def test_a_model_that_comes_to_one_more_disk_is_pulled_where_nothing_more_is_done_with_it(
    model: ModelPicture, jobs: tuple[JobPicture, ...], words: str
) -> None:
    assert wording.state(row(model, *jobs)) == words


def test_a_model_that_comes_to_the_fleet_has_a_row_before_it_is_there() -> None:
    [it] = model_rows([], [PULL], None)
    assert (it.model.id, wording.state(it), wording.where(it)) == ("qwen", "pull 31%", "borea")
    assert (it.eta_s, it.model.size_bytes) == (5.0, 100)
    assert wording.counts([it]) == ["0 warm", "1 pull", "0 on disk"]
    assert "sees" not in " ".join(wording.detail(it)), "nobody knows yet"


@pytest.mark.parametrize(
    ("state", "words"), [("failed", ["failed"]), ("done", []), ("cancelled", [])]
)
def test_of_pulls_that_ended_only_failures_are_told(state: str, words: list[str]) -> None:
    error = ErrorPicture("cannot_store", "no room", "make some")
    rows = model_rows([], [replace(PULL, state=state, error=error)], None)
    assert [wording.state(one) for one in rows] == words
    assert all("pull on borea failed: no room" in wording.detail(one) for one in rows)


def test_a_job_calls_a_model_by_the_name_that_its_peer_has_for_it() -> None:
    assert row(replace(MODEL, id="qwen@77aa0000"), LOAD).state == "loading"


def test_only_a_model_larger_than_every_device_has_no_room() -> None:
    assert row(largest=8 * GIB - 1).state == "no room"
    assert wording.where(row(largest=1)) == "needs 8.0 GiB"
    assert row(largest=8 * GIB).state == "disk"


def peer(name: str, *memory_bytes: int, **changes: object) -> PeerPicture:
    devices = tuple(DevicePicture("gpu", each, None) for each in memory_bytes)
    whole = PeerPicture(
        name, name, "up", False, None, None, devices, (), ("qwen",), None, 0.0, "", (), 4
    )
    return replace(whole, **changes)


def test_the_largest_device_is_known_where_all_who_have_models_tell() -> None:
    def largest(*peers: PeerPicture) -> int | None:
        return largest_device_bytes(FleetPicture("f", peers, ()))

    assert largest(peer("a", 4, 8), peer("b", 6)) == 8
    assert largest(peer("a", 4), peer("b")) is None
    assert largest(peer("a", 4), peer("b", stored=())) == 4
    assert largest(peer("a", 4), peer("b", 9, state="dead")) == 4
    assert largest() is None


def test_how_long_a_load_takes_is_told_where_one_is_or_could_be() -> None:
    assert wording.load_time(row()) == "~2s"
    assert wording.load_time(row(MODEL, LOAD)) == "~5s"
    assert wording.load_time(row(warm(WARM))) == "-"
    assert wording.load_time(row(MODEL, FAILED)) == "-"


def test_places_are_told_with_their_devices_where_there_is_one_peer() -> None:
    other = replace(WARM, device=1)
    assert wording.where(row(warm(WARM, other))) == "atlas 0,1"
    assert wording.where(row(warm(WARM, replace(WARM, peer="borea")))) == "atlas, borea"
    assert wording.where(row(MODEL)) == "atlas"
    assert wording.where(row(replace(MODEL, cold=()))) == "-"


def test_sizes_and_requests_are_short() -> None:
    assert wording.size(row()) == "8.0 GiB"
    assert wording.size(row(replace(MODEL, size_bytes=10_000_000))) == "9.5 MiB"
    assert wording.size(row(replace(MODEL, size_bytes=8_090))) == "7.9 KiB"
    assert wording.size(row(replace(MODEL, size_bytes=0))) == "-"
    assert wording.requests(row(warm(WARM, replace(WARM, waiting=None)))) == "6+1"
    assert wording.requests(row(warm(replace(WARM, waiting=0)))) == "3"
    assert wording.requests(row()) == ""


def test_states_are_counted_and_only_warm_and_disk_where_there_are_none() -> None:
    assert wording.counts([]) == ["0 warm", "0 on disk"]
    told = [row(), row(warm(WARM)), row(MODEL, FAILED), row(MODEL, LOAD)]
    assert wording.counts(told) == ["1 warm", "1 loading", "1 failed", "1 on disk"]


def test_one_model_is_told_in_full() -> None:
    model = replace(warm(WARM, replace(WARM, device=1, running=None)), aliases=("best",))
    assert list(wording.detail(row(model, FAILED))) == [
        "8.0 GiB, 32,768 tokens of context, sees images, weights 77aa, also called best",
        "atlas 0  ready  9.0 GiB  32k x 4  3 running, 1 waiting",
        "atlas 1  ready  9.0 GiB  32k x 4  1 waiting",
        "on disk  atlas (~2s to load)",
    ]
    assert list(wording.detail(row(MODEL, FAILED)))[2:] == [
        "load on atlas failed: cut off",
        "hint: get it",
    ]
    assert list(wording.detail(row(largest=1)))[-1] == "larger than any device of this fleet"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0"),
        (3830, "3,830"),
        (9999, "9,999"),
        (32_768, "32k"),
        (98_104, "98.1k"),
        (262_144, "256k"),
        (1_048_576, "1,024k"),
        (1_500_000, "1.5M"),
    ],
)
def test_tokens_are_told_in_few_characters(number: int, words: str) -> None:
    assert tokens(number) == words
