"""Documents say what is printed on them, whatever they are, and stay readable for the tower."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from cortex.engine.images import smart_resize
from training.document_questions import KINDS
from training.draw import contact_sheet
from training.drawing import Book, Picture, draw_document, evaluation_book, training_book
from training.drawing.canvas import Canvas, Paper, Pen
from training.drawing.documents.compose import shaped_layout
from training.drawing.documents.distort import Wear, distort, turned
from training.drawing.printed import Money
from training.drawing.types import DocumentKind, Facts
from training.nano import CELL_PIXELS, MIN_PIXELS

COMPUTED = ("count", "switch", "there")
SMALLEST_SEEN_PX = 13.0


@pytest.fixture(scope="module", params=["training", "evaluation"])
def book(request: pytest.FixtureRequest) -> Book:
    return training_book() if request.param == "training" else evaluation_book()


def _documents(book: Book, seed: int, each: int, max_cells: int = 1000) -> Iterator[Picture]:
    for kind in KINDS:
        rng = random.Random(f"{seed}:{kind}")
        for _ in range(each):
            yield draw_document(rng, book, kind, max_cells)


def test_glyphs_spell_the_lines_and_lie_inside_the_picture(book: Book) -> None:
    for picture in _documents(book, 1, each=6):
        spelled = "".join(glyph.char for glyph in picture.glyphs)
        assert spelled == "".join(picture.facts.lines).replace(" ", "")
        width, height = picture.image.size
        assert all(1 <= g.x < width - 1 and 1 <= g.y < height - 1 for g in picture.glyphs)


def test_lines_have_single_spaces(book: Book) -> None:
    for picture in _documents(book, 2, each=3):
        assert all(line == " ".join(line.split()) for line in picture.facts.lines)


def test_every_value_is_printed_or_counted_or_seen(book: Book) -> None:
    for picture in _documents(book, 3, each=6):
        text = "\n".join(picture.facts.lines)
        for fact in picture.facts.known:
            assert fact.task in COMPUTED or fact.value in text, fact
            if fact.task not in ("count", "line"):
                assert all(name in text for name in fact.names), fact


def test_letters_stay_large_enough_for_the_tower(book: Book) -> None:
    for max_cells in (128, 1000):
        for picture in _documents(book, 4, each=4, max_cells=max_cells):
            width, height = picture.image.size
            seen_height, seen_width = smart_resize(
                height, width, CELL_PIXELS, MIN_PIXELS, max_cells * CELL_PIXELS**2
            )
            shrunk = min(seen_height / height, seen_width / width)
            assert picture.text_px * shrunk >= SMALLEST_SEEN_PX
            assert seen_height * seen_width <= max_cells * CELL_PIXELS**2


def test_shapes_reach_from_slips_to_strips(book: Book) -> None:
    shapes = [p.image.width / p.image.height for p in _documents(book, 5, each=12, max_cells=400)]
    assert all(0.24 <= shape <= 8.5 for shape in shapes)
    slips, strips = sum(each < 0.4 for each in shapes), sum(each > 5 for each in shapes)
    assert min(slips, strips) >= 0.03 * len(shapes)
    assert max(slips, strips) <= 0.25 * len(shapes)


def test_a_slip_has_one_column_and_a_strip_one_row() -> None:
    layout = next(each for each in training_book().documents if each.name == "ticket-stub")
    assert shaped_layout(layout, 1.0) == layout
    assert shaped_layout(layout, 0.3).parts == ("title", "rule", "pairs", "pairs")
    assert shaped_layout(layout, 7.0).parts == ("title|pairs|pairs",)


@pytest.mark.parametrize("kind", ["invoice", "label", "ticket"])
def test_a_page_is_priced_in_the_money_that_is_asked_for(book: Book, kind: DocumentKind) -> None:
    rng = random.Random(11)
    for _ in range(8):
        known = draw_document(rng, book, kind, 400, priced=Money("Fr. ")).facts.known
        amounts = [fact.value for fact in known if fact.task in ("total", "price")]
        assert amounts and all(amount.startswith("Fr. ") for amount in amounts)


def test_the_same_seed_draws_the_same_document(book: Book) -> None:
    for one, again in zip(_documents(book, 6, 1), _documents(book, 6, 1), strict=True):
        assert one.image.tobytes() == again.image.tobytes()
        assert (one.glyphs, one.facts) == (again.glyphs, again.facts)


def test_what_an_invoice_comes_to_is_the_sum_of_its_items_and_its_tax(book: Book) -> None:
    rng = random.Random(7)
    for _ in range(12):
        known = draw_document(rng, book, "invoice").facts.known
        amounts = {fact.names[0]: _cents(fact.value) for fact in known if fact.task == "key"}
        (total,) = {_cents(fact.value) for fact in known if fact.task == "total"}
        last = next(f.names[1] for f in reversed(known) if f.task == "cell")
        items = sum(_cents(f.value) for f in known if f.task == "cell" and f.names[1] == last)
        tax = total - items
        assert tax == 0 or tax in amounts.values()


def _cents(amount: str) -> int:
    return int("".join(filter(str.isdigit, amount)) or "0")


def test_a_turned_page_takes_its_glyphs_along() -> None:
    """A dot printed alone stays where its glyph is said to be."""
    book = training_book()
    face = book.shelf.families[0].regular
    for degrees in (-3.0, 1.0, 3.0):
        canvas = Canvas(book.shelf, 400, 300, Paper((255, 255, 255), (0, 0, 0)))
        canvas.write("#", 320, 80, Pen(face, 20))
        page = turned(canvas.finish(Facts(("#",)), "page"), degrees)
        ink = page.image.convert("L").point([255] * 128 + [0] * 128).getbbox()
        assert ink is not None
        assert math.dist(((ink[0] + ink[2]) / 2, (ink[1] + ink[3]) / 2), _place(page)) < 4
        assert math.dist(_place(page), (326, 73)) > 2


def _place(picture: Picture) -> tuple[float, float]:
    (glyph,) = picture.glyphs
    return glyph.x, glyph.y


def test_wear_changes_pixels_and_no_text() -> None:
    book, paper = training_book(), Paper((250, 240, 200), (20, 0, 60))
    canvas = Canvas(book.shelf, 320, 96, paper.as_plate())
    canvas.write("Light wear", 40, 60, Pen(book.shelf.families[0].regular, 20))
    plate = canvas.finish(Facts(("Light wear",)), "page")

    clean = distort(random.Random(9), plate, Wear(), paper)
    worn = distort(random.Random(9), plate, Wear(blur_px=0.5, noise=8, jpeg_quality=60), paper)

    assert worn.image.tobytes() != clean.image.tobytes()
    assert (worn.image.size, worn.image.mode) == (clean.image.size, "RGB")
    assert (worn.glyphs, worn.facts) == (clean.glyphs, clean.facts)


def test_a_plate_in_colours_looks_as_if_it_had_been_printed_in_them() -> None:
    book, paper = training_book(), Paper((250, 240, 200), (20, 0, 60))
    seen: list[Image.Image] = []
    for each in (paper, paper.as_plate()):
        canvas = Canvas(book.shelf, 320, 96, each)
        canvas.box((8, 8, 312, 40), 0.85, 1.0, 3)
        for baseline, inverse in ((30, True), (70, False)):
            pen = Pen(book.shelf.families[0].regular, 20)
            canvas.write("Ink", 40, baseline, pen, inverse=inverse)
        seen.append(canvas.finish(Facts(("Ink", "Ink")), "page").image)
    one, other = (np.asarray(image, dtype=np.int16) for image in (seen[0], paper.printed(seen[1])))
    assert np.abs(one - other).max() <= 3


def test_no_document_layout_is_on_both_sides() -> None:
    def looks(book: Book) -> set[str]:
        plain = [{k: v for k, v in asdict(d).items() if k != "name"} for d in book.documents]
        return {hashlib.sha256(repr(look).encode()).hexdigest() for look in plain}

    def names(book: Book) -> set[str]:
        return {each.name for each in book.documents}

    training, evaluation = training_book(), evaluation_book()
    assert len(looks(training)) == len(training.documents) > len(evaluation.documents)
    assert not looks(training) & looks(evaluation)
    assert not names(training) & names(evaluation)
    assert {d.kind for d in training.documents} == {d.kind for d in evaluation.documents}


def test_no_key_title_or_bar_is_on_both_sides() -> None:
    """The word lists hold more than the word itself: what is printed of them is compared here."""

    def printed(book: Book) -> set[str]:
        words = book.words
        keys = {entry.split("|")[2] for entry in words.keys}
        titles = {entry.split("|")[1] for entry in words.titles}
        heads = {column for entry in words.item_columns for column in entry.split("|")}
        tables = {entry.split("|")[0] for entry in (*words.tables, *words.charts)}
        bars = {label for entry in words.charts for label in entry.split("|")[1].split(",")}
        return {text.casefold() for text in keys | titles | heads | tables | bars}

    assert not printed(training_book()) & printed(evaluation_book())


def test_a_contact_sheet_holds_every_picture() -> None:
    pictures = list(_documents(training_book(), 10, each=1))
    sheet = contact_sheet(pictures)
    assert sheet.height >= max(p.image.height for p in pictures)
