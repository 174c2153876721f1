"""Training and evaluation share drawing code and wordings, and nothing that is printed."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from training.drawing.book import WORDS_FOLDER, Book, Words, evaluation_book, training_book
from training.drawing.fonts import FONTS_FOLDER, Family

CHARACTERS = [chr(code) for code in range(33, 127)] + ["£", "€"]
MOST_FONT_BYTES = 9_000_000


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _font_files(side: str) -> list[Path]:
    return sorted((FONTS_FOLDER / side).rglob("*.[to]tf"))


def _hash_files(paths: list[Path]) -> set[str]:
    return {_hash(path.read_bytes()) for path in paths}


def _layout_hashes(book: Book) -> set[str]:
    """By what a layout looks like: two that differ by name alone are the same."""
    layouts = [*book.layouts.receipts, *book.layouts.labels, *book.layouts.lines]
    looks = [{k: v for k, v in asdict(layout).items() if k != "name"} for layout in layouts]
    return {_hash(repr(look).encode()) for look in looks}


def _layout_names(book: Book) -> set[str]:
    layouts = [*book.layouts.receipts, *book.layouts.labels, *book.layouts.lines]
    return {layout.name for layout in layouts}


def _family_names(book: Book) -> set[str]:
    """By what the files themselves say, not by folder."""
    paths = [face for family in book.shelf.families for face in family.faces()]
    return {str(ImageFont.truetype(str(path)).getname()[0]) for path in paths}


def test_no_font_file_is_on_both_sides() -> None:
    training = _hash_files(_font_files("training"))
    evaluation = _hash_files(_font_files("evaluation"))
    assert training and evaluation
    assert not training & evaluation


def test_no_font_family_is_on_both_sides() -> None:
    training, evaluation = _family_names(training_book()), _family_names(evaluation_book())
    assert len(training) >= 14
    assert len(evaluation) >= 5
    assert not training & evaluation


def test_no_layout_is_on_both_sides() -> None:
    training, evaluation = training_book(), evaluation_book()
    assert _layout_hashes(training) and _layout_hashes(evaluation)
    assert not _layout_hashes(training) & _layout_hashes(evaluation)
    assert not _layout_names(training) & _layout_names(evaluation)


def test_no_word_list_is_on_both_sides() -> None:
    training = _hash_files(sorted((WORDS_FOLDER / "training").iterdir()))
    evaluation = _hash_files(sorted((WORDS_FOLDER / "evaluation").iterdir()))
    assert len(training) == len(evaluation) == len(fields(Words))
    assert not training & evaluation


def test_no_entry_of_any_word_list_is_on_both_sides() -> None:
    def entries(book: Book) -> set[str]:
        lists = asdict(book.words).values()
        return {entry.casefold() for words in lists for entry in words}

    assert not entries(training_book()) & entries(evaluation_book())


def test_only_training_makes_words_up_and_the_same_ones_every_time() -> None:
    def from_files(side: str, name: str) -> tuple[str, ...]:
        return tuple((WORDS_FOLDER / side / f"{name}.txt").read_text("utf-8").splitlines())

    training, evaluation = training_book().words, evaluation_book().words
    assert training == training_book().words
    for name in (field.name for field in fields(Words)):
        assert getattr(evaluation, name) == from_files("evaluation", name)
        own, now = from_files("training", name), getattr(training, name)
        assert now[: len(own)] == own
        assert len({entry.casefold() for entry in now[len(own) :]}) == len(now) - len(own)
    assert len(training.products) > 4 * len(from_files("training", "products"))


def test_made_up_words_can_be_read_by_the_tower() -> None:
    entries = [entry for words in asdict(training_book().words).values() for entry in words]
    assert all(char in CHARACTERS or char == " " for entry in entries for char in entry)


@pytest.mark.parametrize("side", ["training", "evaluation"])
def test_every_family_has_the_text_of_its_free_licence(side: str) -> None:
    for folder in sorted((FONTS_FOLDER / side).iterdir()):
        texts = [path.read_text(encoding="utf-8") for path in folder.glob("LICENSE*.txt")]
        text = " ".join("\n".join(texts).split()).lower()
        assert len(text) > 1_000, folder.name
        grants = ("hereby grant", "redistribution and use in source and binary forms")
        assert any(grant in text for grant in grants), folder.name


def _drawn(font: ImageFont.FreeTypeFont, char: str) -> bytes:
    sheet = Image.new("L", (48, 48))
    ImageDraw.Draw(sheet).text((8, 8), char, fill=255, font=font)
    return sheet.tobytes()


@pytest.mark.parametrize("side", ["training", "evaluation"])
def test_every_face_has_every_character(side: str) -> None:
    for path in _font_files(side):
        font = ImageFont.truetype(str(path), 24, layout_engine=ImageFont.Layout.BASIC)
        missing_mark = _drawn(font, "\U0010fffd")
        for char in CHARACTERS:
            assert font.getbbox(char)[2] > 0, (path.name, char)
            assert _drawn(font, char) != missing_mark, (path.name, char)


def test_fonts_stay_small_enough_to_be_cloned() -> None:
    total = sum(path.stat().st_size for path in FONTS_FOLDER.rglob("*") if path.is_file())
    assert total < MOST_FONT_BYTES


def test_a_family_without_a_bold_face_uses_its_regular_one() -> None:
    family = Family("one", Path("a.ttf"), Path("a.ttf"))
    assert family.faces() == (Path("a.ttf"),)
