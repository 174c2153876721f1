"""What is drawn is what the facts say, and each glyph is where it is said to be."""

from __future__ import annotations

import random
import re

import pytest
from PIL import Image, ImageChops, ImageDraw

from training.drawing import (
    Book,
    Picture,
    draw_label,
    draw_line,
    draw_page,
    draw_receipt,
    evaluation_book,
    training_book,
)
from training.drawing.sizes import CELL_PX, MOST_PIXELS, choose_frame


@pytest.fixture(scope="module", params=["training", "evaluation"])
def book(request: pytest.FixtureRequest) -> Book:
    return training_book() if request.param == "training" else evaluation_book()


def _cents(amount: str) -> int:
    return int(re.sub(r"\D", "", amount))


def _ink(picture: Picture) -> Image.Image:
    """White where something is printed."""
    colours = picture.image.getcolors(MOST_PIXELS * 8)
    assert colours is not None
    paper = max(colours, key=lambda colour: colour[0])[1]
    sheet = Image.new("RGB", picture.image.size, paper)
    difference = ImageChops.difference(picture.image, sheet).convert("L")
    return difference.point([0] * 40 + [255] * 216)


def _around(x: float, y: float, reach: int) -> tuple[int, int, int, int]:
    return (int(x) - reach, int(y) - reach, int(x) + reach + 1, int(y) + reach + 1)


def test_every_glyph_has_ink_around_its_centre(book: Book) -> None:
    rng = random.Random(1)
    for _ in range(20):
        picture = draw_page(rng, book)
        ink = _ink(picture)
        for glyph in picture.glyphs:
            box = _around(glyph.x, glyph.y, 9)
            assert ink.crop(box).getbbox() is not None, glyph


def test_no_ink_is_far_from_every_glyph(book: Book) -> None:
    rng = random.Random(2)
    for _ in range(20):
        picture = draw_page(rng, book)
        ink = _ink(picture)
        eraser = ImageDraw.Draw(ink)
        for glyph in picture.glyphs:
            eraser.rectangle(_around(glyph.x, glyph.y, 22), fill=0)
        assert ink.getbbox() is None


def test_glyphs_spell_the_facts_in_reading_order(book: Book) -> None:
    rng = random.Random(3)
    for _ in range(30):
        for picture in (draw_line(rng, book, 20), draw_label(rng, book), draw_page(rng, book)):
            spelled = "".join(glyph.char for glyph in picture.glyphs)
            assert spelled == "".join(picture.facts.lines).replace(" ", "")


def test_every_glyph_is_on_the_picture(book: Book) -> None:
    rng = random.Random(4)
    for _ in range(60):
        for picture in (draw_line(rng, book, 28), draw_label(rng, book), draw_receipt(rng, book)):
            width, height = picture.image.size
            assert all(1 <= g.x < width - 1 and 1 <= g.y < height - 1 for g in picture.glyphs)


def test_page_has_the_size_that_was_asked_for(book: Book) -> None:
    picture = draw_page(random.Random(5), book, 320, 96)
    assert picture.image.size == (320, 96)
    assert picture.image.mode == "RGB"
    assert len(picture.glyphs) > 10


@pytest.mark.parametrize("longest", [4, 8, 14])
def test_line_is_never_longer_than_asked(book: Book, longest: int) -> None:
    rng = random.Random(6)
    for _ in range(200):
        (text,) = draw_line(rng, book, longest).facts.lines
        assert 1 <= len(text) <= longest
        assert text == text.strip()


def test_total_is_the_sum_of_the_items(book: Book) -> None:
    rng = random.Random(7)
    for _ in range(40):
        facts = draw_receipt(rng, book, keep=("items",), leave_out=("tax",)).facts
        assert facts.total is not None
        assert _cents(facts.total) == sum(_cents(amount) for _, amount in facts.items)


def test_printed_tax_is_part_of_the_total(book: Book) -> None:
    rng = random.Random(8)
    for _ in range(40):
        facts = draw_receipt(rng, book, keep=("items", "tax")).facts
        assert facts.total is not None
        tax = _cents(facts.total) - sum(_cents(amount) for _, amount in facts.items)
        assert tax > 0
        amounts = re.findall(r"\d+[.,]\d\d", "\n".join(facts.lines))
        assert tax in {_cents(amount) for amount in amounts}


def test_what_is_left_out_is_neither_printed_nor_known(book: Book) -> None:
    rng = random.Random(9)
    for _ in range(40):
        facts = draw_receipt(rng, book, leave_out=("date", "shop")).facts
        assert facts.date is None
        assert facts.shop is None
        kept = draw_receipt(rng, book, keep=("date", "shop")).facts
        assert kept.date is not None and kept.shop is not None
        assert any(kept.date in line for line in kept.lines)
        assert kept.shop in kept.lines


def test_the_same_seed_draws_the_same_picture(book: Book) -> None:
    once, again = (draw_receipt(random.Random(10), book) for _ in range(2))
    assert once.image.tobytes() == again.image.tobytes()
    assert once.glyphs == again.glyphs
    assert once.facts == again.facts


def test_jittered_sides_round_back_to_the_same_cells() -> None:
    rng = random.Random(11)
    for _ in range(500):
        width, height = CELL_PX * rng.randint(1, 13), CELL_PX * rng.randint(1, 13)
        frame = choose_frame(rng, width, height, enlarged=0)
        assert round(frame.width / CELL_PX) * CELL_PX == width
        assert round(frame.height / CELL_PX) * CELL_PX == height


def test_most_frames_have_whole_cells_some_any_size_and_few_are_enlarged() -> None:
    rng = random.Random(12)
    frames = [choose_frame(rng, 256, 128) for _ in range(1_000)]
    assert 560 <= sum((frame.width, frame.height) == (256, 128) for frame in frames) <= 660
    assert 70 <= sum(frame.text_scale >= 1.3 for frame in frames) <= 130
