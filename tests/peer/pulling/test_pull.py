"""A repository of a hub made a model: whole, checked, and gone on with wherever it was cut."""

from __future__ import annotations

import asyncio
import fcntl
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex.engine.errors import (
    CortexError,
    EngineFailed,
    InvalidRequest,
    ModelInvalid,
    ModelNotFound,
)
from cortex.peer.config import HubConfig
from cortex.peer.errors import CannotStore, HubFailed, PermissionDenied
from cortex.peer.models.folder import Unserved
from cortex.peer.pulling import hub
from cortex.peer.pulling.partial import CutFile
from tests.peer.fake_hub import SHUNNED, WEIGHTS

Pull = Any


def below(folder: Path) -> list[Path]:
    return [*folder.rglob("*")]


def in_shards(pulling: Pull, number: int) -> list[str]:
    """The hub has weights in so many files, by an index; other weights are left there."""
    shards = {f"model-{n}.safetensors": bytes([n]) * 999 for n in range(number)}
    index = json.dumps({"weight_map": dict(enumerate(shards))}).encode()
    pulling.hub.files |= {**shards, "model.safetensors.index.json": index}
    return list(shards)


async def test_a_repository_becomes_a_model_of_exactly_what_cortex_reads(pulling: Pull) -> None:
    await pulling()
    files = {path.name: path.read_bytes() for path in pulling.goal.iterdir()}
    assert files == {k: v for k, v in pulling.hub.files.items() if k not in SHUNNED}
    asked = {name for name, _ in pulling.hub.asked}
    assert asked == set(files) - {"merges.txt"}, "nothing else was asked for, nor what is empty"
    assert "org/name" in pulling.ids
    assert not pulling.partial.exists()
    total = sum(map(len, files.values()))
    last = pulling.told[-1]
    assert (last.stage, last.done, last.total, last.unit) == ("pulling", total, total, "bytes")


async def test_a_repository_without_an_organisation_has_its_own_name(pulling: Pull) -> None:
    await pulling("alone")
    assert "alone" in pulling.ids


async def test_a_second_pull_checks_what_is_there_and_fetches_nothing(pulling: Pull) -> None:
    await pulling()
    pulling.hub.asked.clear()
    await pulling()
    assert pulling.hub.asked == []
    assert (pulling.told[-1].stage, pulling.told[-1].done) == ("checking", pulling.told[-1].total)


async def test_other_files_at_its_place_are_left_alone(pulling: Pull) -> None:
    await pulling()
    (pulling.goal / WEIGHTS).write_bytes(b"mine")
    with pytest.raises(InvalidRequest, match=rf"{WEIGHTS} is not the hub's") as raised:
        await pulling()
    assert raised.value.hint.endswith("cortex models rm org/name")
    assert (pulling.goal / WEIGHTS).read_bytes() == b"mine"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(cuts=st.lists(st.integers(0, 10_239), max_size=4), has_ranges=st.booleans())
def test_answers_that_are_cut_anywhere_come_to_the_same_file(
    pulled_alone: Callable[..., Any], cuts: list[int], has_ranges: bool
) -> None:
    pulling = pulled_alone(cuts=[*cuts], has_ranges=has_ranges)
    assert (pulling.goal / WEIGHTS).read_bytes() == pulling.hub.files[WEIGHTS]
    asked = [range_ for name, range_ in pulling.hub.asked if name == WEIGHTS]
    if has_ranges:
        begins = [begin for begin in (0, *accumulate(cuts)) if begin < 10_240]
        assert asked == [f"bytes={begin}-" if begin else "" for begin in begins]


@pytest.mark.parametrize("cut", [1, 255, 4096, 10_239])
@pytest.mark.parametrize("is_spoilt", [False, True])
async def test_a_pull_that_was_killed_is_gone_on_with_by_the_next(
    pulling: Pull, cut: int, is_spoilt: bool
) -> None:
    """What lost power left may be anything: then the file comes once more from the beginning."""
    reached = asyncio.Event()

    async def hang(name: str) -> None:
        if name == WEIGHTS and not pulling.hub.cuts:
            reached.set()
            await asyncio.Event().wait()

    pulling.hub.on_file, pulling.hub.cuts = hang, [cut]
    killed = asyncio.create_task(pulling())
    await reached.wait()
    killed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await killed
    assert "org/name" not in pulling.ids, "half a model is none"
    assert pulling.partial_weights.stat().st_size == cut
    if is_spoilt:
        pulling.partial_weights.write_bytes(b"\xff" * cut)

    pulling.hub.on_file = None
    pulling.hub.asked.clear()
    pulling.told.clear()
    await pulling()
    expected = [(WEIGHTS, f"bytes={cut}-"), *([(WEIGHTS, "")] if is_spoilt else [])]
    assert pulling.hub.asked == expected, "what had come whole is not asked for again"
    first = next(told for told in pulling.told if told.stage == "pulling")
    others = sum(len(data) for name, data in pulling.hub.files.items() if name not in SHUNNED)
    assert first.done == others - len(pulling.hub.files[WEIGHTS]) + cut
    assert (pulling.goal / WEIGHTS).read_bytes() == pulling.hub.files[WEIGHTS]


async def test_a_hub_without_ranges_sends_all_again(pulling: Pull) -> None:
    pulling.hub.has_ranges, pulling.hub.cuts = False, [4096]
    await pulling()
    assert (pulling.goal / WEIGHTS).read_bytes() == pulling.hub.files[WEIGHTS]


async def test_a_hub_that_only_repeats_itself_is_given_up(pulling: Pull) -> None:
    pulling.hub.has_ranges, pulling.hub.cuts = False, [4096] * 100
    await pulling.refused(HubFailed, "fails")
    assert pulling.rests_s == [1.0, 2.0, 4.0, 8.0]


async def test_a_hub_that_says_nothing_keeps_a_file_for_about_two_minutes(
    pulling: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(name: str) -> None:
        if name == WEIGHTS:
            await asyncio.Event().wait()

    read_s = hub.READ_S
    monkeypatch.setattr(hub, "READ_S", 0.05)
    pulling.hub.on_file = hang
    await pulling.refused(HubFailed, "fails: it says nothing")
    num_tries = [name for name, _ in pulling.hub.asked].count(WEIGHTS)
    assert 100 < num_tries * read_s + sum(pulling.rests_s) < 130


@pytest.mark.parametrize("name", [WEIGHTS, "config.json", "merges.txt"])
async def test_other_bytes_than_the_hash_says_are_refused(pulling: Pull, name: str) -> None:
    digest = {"lfs": {"sha256": 64 * "a"}} if name == WEIGHTS else {"blobId": 40 * "a"}
    pulling.hub.listed = {name: digest}
    await pulling.refused(HubFailed, f"{name} has not the hash")
    assert not (pulling.partial / name).exists()


async def test_what_is_longer_than_listed_is_cut_off(pulling: Pull) -> None:
    pulling.hub.sends = {WEIGHTS: pulling.hub.files[WEIGHTS] + b"more"}
    await pulling.refused(HubFailed, "sends more")
    assert pulling.partial_weights.stat().st_size == 0


async def test_what_is_shorter_than_listed_is_given_up(pulling: Pull) -> None:
    pulling.hub.listed = {WEIGHTS: {"size": 20_000}}
    await pulling.refused(HubFailed, "fails")


@pytest.mark.parametrize(
    "name",
    [
        "../../escaped.safetensors",
        "/tmp/escaped.safetensors",
        "a/../../escaped.safetensors",
        ".hidden.safetensors",
        "sub/other.safetensors",
        "nul\0.safetensors",
        "line\n.safetensors",
        "../LICENSE",
        "1_Pooling/../config.json",
    ],
)
async def test_names_that_lead_elsewhere_are_never_asked_for(
    pulling: Pull, name: str, tmp_path: Path
) -> None:
    pulling.hub.files[name] = b"x"
    await pulling()
    assert name not in [asked for asked, _ in pulling.hub.asked]
    assert not [path for path in below(tmp_path) if "escaped" in path.name]
    assert len(list(pulling.goal.iterdir())) == len(pulling.hub.files) - len(SHUNNED) - 1


async def test_links_in_the_hidden_folder_lead_nowhere(pulling: Pull, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    pulling.partial.mkdir(parents=True)
    (pulling.partial / WEIGHTS).symlink_to(outside)
    (pulling.partial / "1_Pooling").symlink_to(tmp_path)
    await pulling()
    assert outside.read_bytes() == b"mine"
    assert not [path for path in below(pulling.goal) if path.is_symlink()]


async def test_of_several_weights_those_of_the_index_come(pulling: Pull) -> None:
    shards = in_shards(pulling, 2)
    await pulling()
    there = {path.name for path in pulling.goal.glob("*.safetensors")}
    assert there == set(shards)


async def test_weights_come_three_at_a_time_and_are_told_as_one(pulling: Pull) -> None:
    shards, three = in_shards(pulling, 6), asyncio.Barrier(3)
    asked: list[str] = []
    most = 0

    async def hold(name: str) -> None:
        nonlocal most
        if name in shards:
            asked.append(name)
            most = max(most, len(asked))
            await three.wait()
            for _ in range(50):  # a fourth would come
                await asyncio.sleep(0)
            asked.remove(name)

    pulling.hub.on_file = hold
    await pulling()
    assert most == 3
    come = [one.done for one in pulling.told if one.stage == "pulling"]
    assert come == sorted(come) and come[-1] == pulling.told[-1].total


async def test_of_weights_that_fail_one_is_told_and_what_has_come_is_kept(pulling: Pull) -> None:
    first, bad, last = in_shards(pulling, 3)

    async def hold(name: str) -> None:
        others = [pulling.partial / first, pulling.partial / last]
        while name == bad and not all(map(Path.exists, others)):  # noqa: ASYNC110 - files tell nobody
            await asyncio.sleep(0.01)

    pulling.hub.sends, pulling.hub.on_file = {bad: bytes(999)}, hold
    await pulling.refused(HubFailed, "has not the hash")
    pulling.hub.sends.clear()
    pulling.hub.asked.clear()
    await pulling()
    assert pulling.hub.asked == [(bad, "")]
    assert pulling.goal.is_dir()


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (b'{"weight_map": ' + 200_000 * b"[" + b"}", "is none"),
        (b'{"weight_map": {"a": "../evil.safetensors"}}', "does not have"),
        (b'{"weight_map": {"a": ["x"]}}', "is none"),
        (b"[]", "is none"),
    ],
)
async def test_an_index_that_leads_astray_is_refused(
    pulling: Pull, index: bytes, words: str
) -> None:
    pulling.hub.files["model.safetensors.index.json"] = index
    await pulling.refused(ModelInvalid, words)


async def test_a_repository_of_countless_weights_is_refused_before_any_comes(
    pulling: Pull,
) -> None:
    pulling.hub.files |= {f"{number}.safetensors": b"" for number in range(1_001)}
    await pulling.refused(ModelInvalid, "has 1,002 files of weights")
    assert not [name for name, _ in pulling.hub.asked if name.endswith(".safetensors")]


async def test_a_text_that_fills_the_memory_is_never_asked_for(pulling: Pull) -> None:
    pulling.hub.listed = {"tokenizer.json": {"size": 65 * 1024 * 1024}}
    await pulling.refused(ModelInvalid, "tokenizer.json has 65.0 MiB")
    assert pulling.hub.asked == []


@pytest.mark.parametrize("size", [-1, 2**63, 2**51])
async def test_a_size_that_nothing_has_is_none(pulling: Pull, size: int) -> None:
    pulling.hub.listed = {WEIGHTS: {"size": size}}
    await pulling.refused(HubFailed, "what answers for the hub is none")


async def test_a_cancelled_pull_lets_go_of_its_files_when_no_thread_uses_them(
    pulling: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another file may have the descriptor's number at once."""
    write, is_writing, go_on = CutFile.write, threading.Event(), threading.Event()
    written: list[int] = []

    def write_slowly(cut: CutFile, at: int, data: bytes) -> None:
        is_writing.set()
        go_on.wait(10)
        write(cut, at, data)
        written.append(len(data))

    monkeypatch.setattr(CutFile, "write", write_slowly)
    pull = asyncio.create_task(pulling())
    await asyncio.to_thread(is_writing.wait, 10)
    pull.cancel()
    await asyncio.sleep(0)
    pull.cancel()
    await asyncio.sleep(0)
    assert not pull.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await pull
    assert len(written) == 1


@pytest.mark.parametrize(
    ("config", "words", "hint"),
    [
        (b'{"model_type": "mamba"}', "model_type is 'mamba'", "it serves fake"),
        (b"[1, 2]", "model_type is 'None'", "it serves fake"),
        (b"\xff", "model_type is 'None'", "it serves fake"),
        (
            b'{"model_type": "fake", "quantization_config": {"quant_method": "fp8"}}',
            "quantised",
            "bfloat16",
        ),
    ],
)
async def test_what_cannot_be_served_is_refused_before_its_weights_come(
    pulling: Pull, config: bytes, words: str, hint: str
) -> None:
    pulling.hub.files["config.json"] = config
    error = await pulling.refused(ModelInvalid, words)
    assert hint in error.hint
    assert WEIGHTS not in [name for name, _ in pulling.hub.asked]
    assert not pulling.partial.exists()


async def test_what_the_engine_could_not_read_is_refused_before_its_weights_come(
    pulling: Pull,
) -> None:
    async def refuse(config: Any, folder: Path) -> Unserved:
        assert (folder / "tokenizer.json").is_file(), "all that is small is there"
        return Unserved("its decoder is WordPiece", "it needs another")

    pulling.check = refuse
    error = await pulling.refused(ModelInvalid, "does not serve 'org/name': its decoder is")
    assert error.hint == "it needs another"
    assert WEIGHTS not in [name for name, _ in pulling.hub.asked]
    assert not pulling.partial.exists()


async def test_a_check_that_comes_to_no_end_loses_nothing_of_what_has_come(pulling: Pull) -> None:
    async def hold_up(config: Any, folder: Path) -> Unserved:
        raise EngineFailed("reading the model took over 120 s")

    nothing_against, pulling.check = pulling.check, hold_up
    await pulling.refused(EngineFailed, "took over 120 s")
    num_asked = len(pulling.hub.asked)
    pulling.check = nothing_against
    await pulling()
    assert [name for name, _ in pulling.hub.asked[num_asked:]] == [WEIGHTS]


async def test_a_repository_that_is_no_model_is_refused_by_what_it_lacks(pulling: Pull) -> None:
    del pulling.hub.files["tokenizer.json"], pulling.hub.files[WEIGHTS]
    pulling.config = replace(pulling.config, engine="torch")
    await pulling.refused(ModelInvalid, "has no tokenizer.json and no weights in safetensors")
    assert pulling.hub.asked == []


@pytest.mark.parametrize(
    ("status", "headers", "token", "kind", "words"),
    [
        (404, {"x-error-code": "RepoNotFound"}, None, ModelNotFound, "shows no 'org/name'"),
        (404, {"x-error-code": "RevisionNotFound"}, None, ModelNotFound, "no such revision"),
        (401, {}, None, ModelNotFound, "shows no 'org/name'"),
        (401, {}, "hf_secret", PermissionDenied, "does not take the peer's token"),
        (401, {"x-error-code": "GatedRepo"}, None, PermissionDenied, "does not open 'org/name'"),
        (403, {"x-error-code": "GatedRepo"}, "hf_secret", PermissionDenied, "does not open"),
        (418, {}, None, HubFailed, "answers 418"),
    ],
)
@pytest.mark.parametrize("is_listing", [True, False])
async def test_what_the_hub_refuses_is_told_as_it_is(
    pulling: Pull,
    status: int,
    headers: dict[str, str],
    token: str | None,
    kind: type[CortexError],
    words: str,
    is_listing: bool,
) -> None:
    pulling.config = replace(pulling.config, hub=HubConfig(pulling.hub.address, token))
    refusals = pulling.hub.refuses_listing if is_listing else pulling.hub.refusals
    refusals.append((status, headers))
    error = await pulling.refused(kind, words)
    assert "hf_secret" not in f"{error.message} {error.hint} {pulling.config}"
    assert pulling.rests_s == [], "it would be the same again"


@pytest.mark.parametrize("is_listing", [True, False])
async def test_a_busy_hub_is_asked_again_when_it_says(pulling: Pull, is_listing: bool) -> None:
    refusals = pulling.hub.refuses_listing if is_listing else pulling.hub.refusals
    refusals += [(429, {"retry-after": "7"}), (503, {}), (500, {"retry-after": "99999"})]
    await pulling()
    assert pulling.rests_s == [7.0, 2.0, 300.0]
    assert pulling.goal.is_dir()


async def test_nobody_at_the_hubs_address_is_said_soon(pulling: Pull) -> None:
    pulling.config = replace(pulling.config, hub=HubConfig("http://127.0.0.1:9"))
    error = await pulling.refused(HubFailed, "127.0.0.1 fails")
    assert "has come" not in error.hint, "nothing has"
    assert pulling.rests_s == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    "endpoint", ["no address", "ftp://127.0.0.1/", "", "http://host:99999", "http://[::1"]
)
async def test_an_address_that_is_none_is_refused(pulling: Pull, endpoint: str) -> None:
    pulling.config = replace(pulling.config, hub=HubConfig(endpoint))
    await pulling.refused(HubFailed, "address is none|fails")


async def test_the_token_goes_to_the_hub_and_not_where_it_leads(
    pulling: Pull, other_hub: Callable[[], Any]
) -> None:
    pulling.config = replace(pulling.config, hub=HubConfig(pulling.hub.address, "hf_secret"))
    async with other_hub() as other:
        pulling.hub.leads_to = other.address
        await pulling()
        assert set(pulling.hub.tokens) == {"Bearer hf_secret"}
        assert other.tokens == [""], "one question, and no token"
    assert pulling.goal.is_dir()


async def test_two_pulls_into_one_folder_do_not_mix(pulling: Pull) -> None:
    second: list[CortexError] = []

    async def pull_too(name: str) -> None:
        pulling.hub.on_file = None
        with pytest.raises(CannotStore, match="somebody else") as raised:
            await pulling()
        second.append(raised.value)

    pulling.hub.on_file = pull_too
    await pulling()
    assert len(second) == 1 and pulling.goal.is_dir()


async def test_a_pull_that_ends_while_the_next_one_begins_leaves_that_nothing_to_do(
    pulling: Pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pulling()
    lock = fcntl.flock
    pulling.goal.rename(pulling.partial)
    pulling.hub.asked.clear()

    def end_the_other_and_lock(descriptor: int, how: int) -> None:
        if not pulling.goal.exists():
            pulling.partial.rename(pulling.goal)
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", end_the_other_and_lock)
    await pulling()
    assert not pulling.partial.exists()
    assert WEIGHTS not in [name for name, _ in pulling.hub.asked]


@pytest.mark.parametrize(
    ("repository", "revision"),
    [
        ("../name", None),
        ("org/..", None),
        ("/name", None),
        ("a/b/c", None),
        ("org/.hidden", None),
        ("org--name", None),
        ("org/name?x", None),
        ("", None),
        ("org/name", "../main"),
        ("org/name", "a b"),
    ],
)
async def test_what_is_no_name_is_never_asked_for(
    pulling: Pull, repository: str, revision: str | None
) -> None:
    with pytest.raises(InvalidRequest, match="is no"):
        await pulling(repository, revision)
    assert pulling.hub.tokens == [] and not pulling.root.exists()


async def test_a_gateway_keeps_no_models(pulling: Pull) -> None:
    pulling.config = replace(pulling.config, engine="none")
    with pytest.raises(InvalidRequest, match="a gateway keeps no models"):
        await pulling()


async def test_a_listing_without_hashes_is_none(pulling: Pull) -> None:
    pulling.hub.listed = {WEIGHTS: {"lfs": None, "blobId": None}}
    await pulling.refused(HubFailed, f"no size and hash of {WEIGHTS}")


async def test_models_come_into_the_first_folder_that_is_no_model(
    pulling: Pull, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    (one / "config.json").write_text("{}")
    pulling.config = replace(pulling.config, models_dirs=(one, two))
    await pulling()
    assert (two / "org" / "name" / WEIGHTS).is_file()
