"""What one look at the files of models asks of the disks, and what the next one still asks."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex.peer.config import Locations, PeerConfig
from cortex.peer.models.look import Look
from cortex.peer.models.shelf import Shelf

INDEX = "model.safetensors.index.json"
SHARDS = [f"model-{n}-of-2.safetensors" for n in (1, 2)]


def fail_stats(monkeypatch: pytest.MonkeyPatch, failing: Path, number: int) -> None:
    """The error of that number, whoever asks for that file."""
    stat: Callable[..., os.stat_result] = os.stat

    def failed(path: Any, **options: Any) -> os.stat_result:
        if str(path) == str(failing):
            raise OSError(number, os.strerror(number), str(path))
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", failed)


class Clock:
    """Turned by hand."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def put_tensor(path: Path, name: str) -> None:
    header = json.dumps({name: {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"t")


def put_model(folder: Path, *, is_sharded: bool) -> None:
    """One whose chat template is in its tokenizer's config, and that has a head of its own."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "qwen3"}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    if not is_sharded:
        put_tensor(folder / "model.safetensors", "lm_head.weight")
        return
    for name, tensor in zip(SHARDS, ("lm_head.weight", "norm"), strict=True):
        put_tensor(folder / name, tensor)
    names = {"weight_map": {"lm_head.weight": SHARDS[0], "norm": SHARDS[1]}}
    (folder / INDEX).write_text(json.dumps(names))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder of three models, one of them in files. A fourth is in a hub's cache, twice."""
    put_model(tmp_path / "mine" / "sharded", is_sharded=True)
    put_model(tmp_path / "mine" / "single", is_sharded=False)
    put_model(tmp_path / "mine" / "org" / "other", is_sharded=False)
    repository = tmp_path / "hub" / "models--org--hub"
    for commit in ("aaa", "bbb"):
        put_model(repository / "snapshots" / commit, is_sharded=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("bbb")
    return tmp_path / "mine"


@pytest.fixture
def shelf(mine: Path, tmp_path: Path, clock: Clock) -> Shelf:
    places = Locations(tmp_path / "data", tmp_path / "state", hub_dir=tmp_path / "hub")
    config = PeerConfig(
        locations=places, models_dirs=(mine,), embedded_dir=tmp_path / "none", engine="torch"
    )
    return Shelf(lambda: config, clock)


async def told(shelf: Shelf) -> dict[str, tuple[str, ...]]:
    return {model.id: model.capabilities for model in (await shelf.look(60)).models}


async def settled(shelf: Shelf, clock: Clock) -> None:
    """What there is has been looked at, weighed, and looked at again when it was no longer new."""
    assert all(model.weights for model in (await shelf.weigh()).models)
    clock.now_s += 10
    assert len(await told(shelf)) == 4
    clock.now_s += 10


async def test_a_look_at_what_has_not_changed_opens_no_file_and_asks_for_none_twice(
    shelf: Shelf, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    await settled(shelf, clock)
    before, stat, num_stats = shelf.catalogue, os.stat, Counter[str]()

    def counted(path: Any, **options: Any) -> os.stat_result:
        num_stats[str(path)] += 1
        return stat(path, **options)

    def refused(path: Any, *_: Any, **__: Any) -> Any:
        raise AssertionError(f"{path} is opened")

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", counted)
        patched.setattr(io, "open", refused)  # what all methods of Path open files with
        assert await shelf.look(60) is before
    files = [path for path in num_stats if Path(path).suffix in (".json", ".safetensors", ".jinja")]
    assert {num_stats[path] for path in files} == {1}
    assert len([path for path in files if path.endswith(".safetensors")]) == 6


async def test_what_is_put_there_taken_away_or_fetched_again_is_seen_by_the_next_look(
    shelf: Shelf, clock: Clock, mine: Path
):
    await settled(shelf, clock)
    put_model(mine / "new", is_sharded=False)
    shutil.rmtree(mine / "org")
    (mine / "single" / "config.json").write_text('{"model_type": "mamba"}')
    assert set(await told(shelf)) == {"sharded", "new", "org/hub"}
    shutil.rmtree(mine / "sharded")
    put_model(mine / "sharded", is_sharded=True)
    (mine / "sharded" / SHARDS[1]).unlink()
    assert "sharded" not in await told(shelf)
    put_tensor(mine / "sharded" / SHARDS[1], "norm")
    assert "sharded" in await told(shelf)


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("sharded/tokenizer_config.json", "{}", "completion"),
        (f"sharded/{INDEX}", json.dumps({"weight_map": {"norm": SHARDS[1]}}), "embedding"),
        ("single/model.safetensors", (2).to_bytes(8, "little").decode() + "{}", "embedding"),
    ],
)
async def test_each_file_that_decides_is_read_anew_when_it_has_changed(
    shelf: Shelf, clock: Clock, mine: Path, path: str, content: str, said: str
):
    await settled(shelf, clock)
    model = Path(path).parts[0]
    before = (await told(shelf))[model]
    (mine / path).write_text(content)
    assert (before, (await told(shelf))[model]) == (("text",), (said,))


async def test_weights_that_are_fetched_again_in_place_are_no_longer_what_they_were(
    shelf: Shelf, clock: Clock, mine: Path
):
    await settled(shelf, clock)
    before = shelf.catalogue.find("single").weights
    put_tensor(mine / "single" / "model.safetensors", "lm_head.weight2")
    assert (await shelf.look(60)).find("single").weights == b""
    assert (await shelf.weigh()).find("single").weights not in (b"", before)


async def test_main_that_points_elsewhere_is_followed(shelf: Shelf, clock: Clock, tmp_path: Path):
    await settled(shelf, clock)
    repository = tmp_path / "hub" / "models--org--hub"
    (repository / "refs" / "main").write_text("aaa")
    assert (await shelf.look(60)).find("org/hub").dir == repository / "snapshots" / "aaa"


async def test_a_folder_that_cannot_be_listed_hides_no_other_model(
    shelf: Shelf, mine: Path, monkeypatch: pytest.MonkeyPatch
):
    listdir: Callable[[Path], list[str]] = os.listdir

    def failed(path: Path) -> list[str]:
        if str(path) == str(mine / "single"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return listdir(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", failed)
        assert set(await told(shelf)) == {"sharded", "org/other", "org/hub"}
    assert "single" in await told(shelf)


@pytest.fixture
def times_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system whose clock is coarse."""
    stat: Callable[..., os.stat_result] = os.stat

    def coarse(path: Any, **options: Any) -> os.stat_result:
        found = stat(path, **options)
        times: dict[str, Any] = {f"st_{which}time_ns": 0 for which in "amc"}
        return os.stat_result((*found[:7], 0, 0, 0), times)

    monkeypatch.setattr(os, "stat", coarse)


@pytest.mark.usefixtures("times_stand_still")
def test_a_file_that_is_written_over_soon_after_is_read_anew_though_it_looks_the_same(
    tmp_path: Path, clock: Clock
):
    path, look = tmp_path / "file", Look(clock)
    path.write_text("one")
    assert look.made(path, Path.read_text) == "one"
    clock.now_s = 1.9  # until then, a file's time may be the same though it was written over
    path.write_text("two")
    look = look.next()
    assert look.made(path, Path.read_text) == "two"
    path.write_text("six")
    clock.now_s = 9.0
    look = look.next()
    assert look.made(path, Path.read_text) == "six"
    # Whoever writes now gives it another time, which this file system does not do.
    path.write_text("ten")
    assert look.next().made(path, Path.read_text) == "six"


def test_a_file_that_takes_anothers_place_with_its_time_and_size_is_read_anew(
    tmp_path: Path, clock: Clock
):
    path, other, look = tmp_path / "file", tmp_path / "other", Look(clock)
    for each, text in ((path, "one"), (other, "two")):
        each.write_text(text)
        os.utime(each, ns=(0, 0))
    for _ in range(2):
        look = look.next()
        assert look.made(path, Path.read_text) == "one"
        clock.now_s += 10
    other.replace(path)
    assert look.next().made(path, Path.read_text) == "two"


def test_what_could_not_be_read_is_tried_again_though_the_file_is_the_same(
    tmp_path: Path, clock: Clock
):
    path, look, errors = tmp_path / "file", Look(clock), [OSError("stale handle")]
    path.write_text("one")

    def read(path: Path) -> str:
        if errors:
            raise errors.pop()
        return path.read_text()

    with pytest.raises(OSError, match="stale handle"):
        look.made(path, read)
    assert look.next().made(path, read) == "one"


def test_what_holds_nothing_of_use_is_read_again_when_the_file_has_changed(
    tmp_path: Path, clock: Clock
):
    path, look, num_read = tmp_path / "file", Look(clock), 0
    path.write_text("one")

    def read(path: Path) -> int:
        nonlocal num_read
        num_read += 1
        return int(path.read_text())

    for _ in range(4):
        for _ in range(2):
            with pytest.raises(ValueError, match="file"):
                look.made(path, read)
        clock.now_s += 10
        look = look.next()
    assert num_read == 2, "when it was new, and once more"
    path.write_text("12")
    assert look.next().made(path, read) == 12


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTDIR, errno.ELOOP])
def test_what_is_not_there_is_surely_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
):
    fail_stats(monkeypatch, tmp_path / "file", number)
    assert not Look().is_surely_file(tmp_path / "file")


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EACCES])
def test_of_what_does_not_answer_nobody_says_whether_it_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
):
    fail_stats(monkeypatch, tmp_path / "file", number)
    assert not Look().is_file(tmp_path / "file")
    with pytest.raises(OSError, match="file"):
        Look().is_surely_file(tmp_path / "file")


def test_what_is_no_file_is_never_read(tmp_path: Path, clock: Clock):
    os.mkfifo(tmp_path / "pipe")  # whoever opened it would wait for a writer
    with pytest.raises(OSError, match="no file"):
        Look(clock).made(tmp_path / "pipe", Path.read_text)


def test_what_a_look_was_not_asked_for_is_forgotten(tmp_path: Path, clock: Clock):
    path, look, num_read = tmp_path / "file", Look(clock), 0
    path.write_text("one")

    def read(_: Path) -> None:
        nonlocal num_read
        num_read += 1

    for _ in range(3):
        look.made(path, read)
        clock.now_s += 10
        look = look.next()
    assert num_read == 2, "when it was new, and once more"
    look.next().made(path, read)  # `look` itself was not asked
    assert num_read == 3
