"""Made-up layouts are of what the listed ones are of, and none is the other side's."""

from __future__ import annotations

import random
from dataclasses import fields, replace
from typing import Any, cast

import pytest

from training.drawing import draw_document, training_book
from training.drawing.documents.layouts import DocumentLayout
from training.drawing.documents.layouts_training import TRAINING_DOCUMENTS
from training.drawing.layouts_training import TRAINING_LAYOUTS
from training.drawing.made_up_layouts import add_made_up_documents
from training.drawing.types import DocumentKind

LISTED = {layout.name for layout in TRAINING_DOCUMENTS}
MADE_UP = [layout for layout in training_book().documents if layout.name not in LISTED]
ORDERED = (("items", "totals"), ("greeting", "body"), ("body", "closing"))


def test_each_kind_has_many_more_than_are_listed() -> None:
    for kind in {layout.kind for layout in TRAINING_DOCUMENTS}:
        parts = {layout.parts for layout in MADE_UP if layout.kind == kind}
        assert len(parts) > 4 * sum(layout.kind == kind for layout in TRAINING_DOCUMENTS)


def test_what_stands_after_another_for_a_reason_stays_there() -> None:
    for layout in MADE_UP:
        names = [name for part in layout.parts for name in part.split("|")]
        for before, after in ORDERED:
            if before in names and after in names:
                assert names.index(before) < names.index(after), layout


def values(layout: DocumentLayout, name: str) -> tuple[object, ...]:
    value: Any = getattr(layout, name)
    return cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)


def test_every_field_is_of_a_listed_one_but_for_order_sizes_and_gaps() -> None:
    own = {"name", "parts", "optional", "heading_scale", "line_gap"}
    for name in [field.name for field in fields(DocumentLayout) if field.name not in own]:
        listed = {each for layout in TRAINING_DOCUMENTS for each in values(layout, name)}
        assert all(set(values(layout, name)) <= listed for layout in MADE_UP), name


def test_none_looks_like_one_of_the_other_side() -> None:
    def made(apart: tuple[DocumentLayout, ...]) -> list[DocumentLayout]:
        return list(add_made_up_documents(random.Random(1), TRAINING_DOCUMENTS, apart))

    first = made(())[len(TRAINING_DOCUMENTS)]
    assert first not in made((replace(first, name="theirs"),))


@pytest.mark.parametrize("kind", sorted({layout.kind for layout in TRAINING_DOCUMENTS}))
def test_every_one_can_be_drawn(kind: DocumentKind) -> None:
    book = training_book()
    rng = random.Random(f"made up:{kind}")
    for layout in [layout for layout in MADE_UP if layout.kind == kind]:
        alone = replace(book, documents=(layout,))
        picture = draw_document(rng, alone, kind, 400)
        assert picture.kind == kind and picture.facts.lines


def test_receipts_say_what_they_come_to_after_what_they_are_for() -> None:
    listed = {layout.name for layout in TRAINING_LAYOUTS.receipts}
    receipts = [each for each in training_book().layouts.receipts if each.name not in listed]
    assert len({each.blocks for each in receipts}) > 4 * len(listed)
    for layout in receipts:
        if "items" in layout.blocks:
            assert layout.blocks.index("items") < layout.blocks.index("total")
