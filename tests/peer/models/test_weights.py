"""What names a model's weights: which changes of a folder are seen, and what is read again."""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex.peer.models import weights
from cortex.peer.models.look import Look
from cortex.peer.models.weights import Weighed, WeightsBook

TENSOR_BYTES = 256


def put_tensors(path: Path, *tensors: bytes) -> None:
    at, described = 0, dict[str, object]()
    for n, data in enumerate(tensors):
        offsets = [at, at + len(data)]
        described[f"t{n}"] = {"dtype": "U8", "shape": [len(data)], "data_offsets": offsets}
        at += len(data)
    header = json.dumps(described).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"".join(tensors))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    put_tensors(folder / "model.safetensors", b"\x01" * TENSOR_BYTES, b"\x02" * TENSOR_BYTES)
    return folder


@pytest.fixture
def book(tmp_path: Path) -> WeightsBook:
    return WeightsBook(tmp_path / "state" / "weights.json")


def weigh(tmp_path: Path, folder: Path) -> Weighed | None:
    """By a book that knows nothing."""
    return WeightsBook(tmp_path / "none" / os.urandom(4).hex()).weigh(folder, "torch")


def test_copy_under_another_name_is_the_same_model(tmp_path: Path, folder: Path):
    (folder / "README.md").write_text("not read by anybody")
    twin = shutil.copytree(folder, tmp_path / "twin")
    (twin / "README.md").write_text("other words")
    first = weigh(tmp_path, folder)
    assert first is not None and len(first.model) == 8
    assert first == weigh(tmp_path, twin)
    assert first.size_bytes == (folder / "model.safetensors").stat().st_size


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "generation_config.json", "chat_template.jinja"]
)
def test_every_file_that_an_answer_depends_on_counts(tmp_path: Path, folder: Path, name: str):
    before = weigh(tmp_path, folder)
    (folder / name).write_text("[]")
    assert weigh(tmp_path, folder) != before


def test_one_bit_of_a_small_file_makes_another_model(tmp_path: Path, folder: Path):
    before = weigh(tmp_path, folder)
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-TENSOR_BYTES // 2] ^= 1
    path.write_bytes(data)
    assert weigh(tmp_path, folder) != before


def test_what_the_fake_engine_makes_of_a_folder_is_another_model(folder: Path, book: WeightsBook):
    assert book.weigh(folder, "fake") != book.weigh(folder, "torch")


def test_of_a_large_file_each_tensor_is_sampled_at_its_ends_and_between(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(weights, "_WHOLE_BYTES", 64)
    monkeypatch.setattr(weights, "_SAMPLE_BYTES", 8)
    path = folder / "model.safetensors"
    before, data = weigh(tmp_path, folder), path.read_bytes()
    start = len(data) - TENSOR_BYTES
    seen = [at for at in range(start, len(data)) if _changed(tmp_path, folder, data, at) != before]
    assert {start, start + 7, len(data) - 1} <= set(seen)
    assert len(seen) == 8 * 8, "eight samples of eight bytes"
    assert any(start + TENSOR_BYTES // 3 < at < start + TENSOR_BYTES // 2 for at in seen)


def _changed(tmp_path: Path, folder: Path, data: bytes, at: int) -> Weighed | None:
    other = bytearray(data)
    other[at] ^= 1
    (folder / "model.safetensors").write_bytes(other)
    return weigh(tmp_path, folder)


@pytest.mark.parametrize("lacking_bytes", [1, TENSOR_BYTES, 2 * TENSOR_BYTES + 20])
def test_file_that_is_still_being_copied_has_no_name_yet(
    tmp_path: Path, folder: Path, lacking_bytes: int
):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-lacking_bytes])
    assert weigh(tmp_path, folder) is None


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b'{"t": 1}',
        b'{"t": null}',
        b'{"t": {"dtype": "U8"}}',
        b'{"t": {"data_offsets": [5]}}',
        b'{"t": {"data_offsets": [-1, 0]}}',
        b'{"t": {"data_offsets": [0, 1e999]}}',
    ],
)
def test_broken_header_is_no_model(tmp_path: Path, folder: Path, header: bytes):
    data = struct.pack("<Q", len(header)) + header
    (folder / "model.safetensors").write_bytes(data)
    weighed = weigh(tmp_path, folder)
    assert weighed is None


def test_a_header_may_hold_more_than_its_tensors(tmp_path: Path, folder: Path):
    header = b'{"__metadata__": {"format": "pt"}, "t": {"dtype": "U8", "data_offsets": [0, 1]}}'
    data = struct.pack("<Q", len(header)) + header + b"t"
    (folder / "model.safetensors").write_bytes(data)
    assert weigh(tmp_path, folder) is not None


def test_a_header_of_many_megabytes_is_never_read(tmp_path: Path, folder: Path):
    header_bytes = 17 * 1024 * 1024
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", header_bytes) + b"{}" + b" " * (header_bytes - 2))
    assert weigh(tmp_path, folder) is None


def test_weights_whose_file_has_a_name_of_no_alphabet_have_no_name(
    tmp_path: Path, folder: Path, book: WeightsBook
):
    (folder / "model.safetensors").rename(folder / os.fsdecode(b"\xff.safetensors"))
    assert book.weigh(folder, "torch") is book.known(folder, "torch", Look()) is None


def test_what_is_no_file_is_never_opened(tmp_path: Path, folder: Path):
    path = folder / "model.safetensors"
    path.unlink()
    os.mkfifo(path)  # whoever opened it would wait for a writer
    assert weigh(tmp_path, folder) is None


def test_shards_are_those_of_the_index_and_all_of_them(tmp_path: Path, folder: Path):
    put_tensors(folder / "b.safetensors", b"b")
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    before = weigh(tmp_path, folder)
    put_tensors(folder / "stray.safetensors", b"c")
    assert before is not None and weigh(tmp_path, folder) == before
    (folder / "b.safetensors").unlink()
    assert weigh(tmp_path, folder) is None


def test_known_folder_is_not_read_again_not_even_by_the_next_process(
    tmp_path: Path, folder: Path, book: WeightsBook, monkeypatch: pytest.MonkeyPatch
):
    assert book.known(folder, "torch", Look()) is None, "nobody has looked"
    weighed = book.weigh(folder, "torch")
    monkeypatch.setattr(weights, "_digest", None)
    later = WeightsBook(tmp_path / "state" / "weights.json")
    assert later.known(folder, "torch", Look()) == later.weigh(folder, "torch") == weighed


def test_changed_file_is_known_no_more(folder: Path, book: WeightsBook):
    before = book.weigh(folder, "torch")
    path = folder / "model.safetensors"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert book.known(folder, "torch", Look()) is None
    assert book.weigh(folder, "torch") == before, "only its time has changed"


@pytest.mark.parametrize("text", ["", "[]", '{"way": "cortex/weights/1", "files": {"x": [1]}}'])
def test_broken_book_is_an_empty_one(tmp_path: Path, folder: Path, text: str):
    path = tmp_path / "weights.json"
    path.write_text(text)
    book = WeightsBook(path)
    assert book.known(folder, "torch", Look()) is None
    assert book.weigh(folder, "torch") is not None


def test_what_is_on_a_disk_that_is_away_is_still_known_when_it_is_back(
    tmp_path: Path, folder: Path, book: WeightsBook
):
    weighed = book.weigh(folder, "torch")
    other = shutil.copytree(folder, tmp_path / "other")
    folder.rename(tmp_path / "unmounted")
    assert book.weigh(other, "torch") == weighed
    (tmp_path / "unmounted").rename(folder)
    for each in (book, WeightsBook(tmp_path / "state" / "weights.json")):
        assert each.known(folder, "torch", Look()) == weighed


@pytest.mark.parametrize("ill", ["chat_template.jinja", "model.safetensors.index.json"])
def test_files_of_which_nobody_can_say_whether_they_are_there_name_no_other_weights(
    folder: Path, book: WeightsBook, monkeypatch: pytest.MonkeyPatch, ill: str
):
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    index = {"weight_map": {"t0": "model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")
    weighed = book.weigh(folder, "torch")
    stat: Callable[..., os.stat_result] = os.stat

    def failed(path: Any, **options: Any) -> os.stat_result:
        if str(path) == str(folder / ill):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return stat(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", failed)
        assert book.known(folder, "torch", Look()) is book.weigh(folder, "torch") is None
    assert book.known(folder, "torch", Look()) == weighed is not None


def test_a_folder_that_cannot_be_listed_names_no_other_weights(
    folder: Path, book: WeightsBook, monkeypatch: pytest.MonkeyPatch
):
    weighed = book.weigh(folder, "torch")

    def failed(path: Any) -> list[str]:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", failed)
        assert book.known(folder, "torch", Look()) is book.weigh(folder, "torch") is None
    assert book.known(folder, "torch", Look()) == weighed is not None


def test_of_files_that_are_away_so_many_are_remembered_those_found_last(
    tmp_path: Path, folder: Path, book: WeightsBook, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(weights, "_MAX_AWAY", 6)
    folders = [shutil.copytree(folder, tmp_path / name) for name in ("a", "b", "c")]
    weighed = [book.weigh(each, "torch") for each in folders]
    (folders[0] / "config.json").write_text("[]")  # the last found of all, and of the first folder
    assert book.weigh(folders[0], "torch") not in weighed
    for each in folders:
        each.rename(tmp_path / f"{each.name} unmounted")
    book.weigh(folder, "torch")
    kept = json.loads((tmp_path / "state" / "weights.json").read_text())["files"]
    assert [Path(path).parent.name for path in kept] == [
        "b",
        "b",
        "c",
        "c",
        "c",
        "a",
        "m",
        "m",
        "m",
    ]
