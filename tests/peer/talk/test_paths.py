"""Names of files as they are typed and pasted."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex.peer.talk.paths import (
    at_home,
    completed,
    leads_to_file,
    names_in,
    path_completions,
    picture_named,
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("receipt.png", "recipe.txt", ".hidden"):
        (tmp_path / name).write_bytes(b"\x89PNG...." if name.endswith("png") else b"text")
    (tmp_path / "records").mkdir()
    return tmp_path


def test_what_lies_there_is_offered_and_folders_are_marked(folder: Path) -> None:
    assert path_completions("rec") == ["receipt.png", "recipe.txt", "records/"]
    assert path_completions(f"{folder}/receipt") == [f"{folder}/receipt.png"]


def test_hidden_names_come_where_their_dot_is_typed(folder: Path) -> None:
    assert ".hidden" not in path_completions("")
    assert path_completions(".h") == [".hidden"]


def test_a_place_that_is_none_offers_nothing(folder: Path) -> None:
    assert path_completions("no/such") == []
    assert path_completions("a\0b/") == []


def test_the_home_of_nobody_is_a_name_like_any_other() -> None:
    assert at_home("~nobody-of-that-name/a") == Path("~nobody-of-that-name/a")
    assert at_home("~a\0b") == Path("~a\0b")
    assert path_completions("~nobody-of-that-name/") == []


def test_a_name_is_completed_as_far_as_all_agree(folder: Path) -> None:
    assert completed("r") == "rec"
    assert completed("recei") == "receipt.png"
    assert completed("zzz") == "zzz"


def test_names_are_read_as_a_terminal_writes_them() -> None:
    assert names_in("a\\ b.png 'c d.png'") == ["a b.png", "c d.png"]
    assert names_in("it's.png") == ["it's.png"]


@pytest.mark.parametrize("pasted", ["receipt.png", " 'receipt.png' ", "receipt.png\n"])
def test_the_name_of_a_picture_is_known_as_one(folder: Path, pasted: str) -> None:
    assert picture_named(pasted) == "receipt.png"


@pytest.mark.parametrize("quote", ["", "'"])
def test_the_address_of_a_picture_leads_to_it(folder: Path, quote: str) -> None:
    """As a file manager gives it, whatever is in its name."""
    (folder / "My Scan.png").write_bytes(b"\x89PNG")
    address = (folder / "My Scan.png").absolute().as_uri()
    assert "%20" in address
    assert picture_named(f"{quote}{address}{quote}\n") == address
    assert leads_to_file(address)
    assert picture_named("file://server/My%20Scan.png") is None


@pytest.mark.parametrize("pasted", ["recipe.txt", "records", "two\nlines", "", "a b", "no.png"])
def test_other_text_is_text(folder: Path, pasted: str) -> None:
    assert picture_named(pasted) is None
