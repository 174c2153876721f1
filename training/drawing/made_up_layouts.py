"""Layouts beside those that somebody drew up: whoever learns from few learns those by heart.

One is put together of several: what stands on it is of one listed layout, its parts moved about,
each of its looks of another, its labels of all. Only training has them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from .documents.layouts import DocumentLayout
from .layouts import Block, LabelLayout, Layouts, ReceiptLayout

_EACH_KIND = 60  # of documents
_NUM_RECEIPTS = 150
_NUM_LABELS = 60
_MOST_LABELS = 5  # of a layout, of each sort

_Layout = TypeVar("_Layout", DocumentLayout, ReceiptLayout, LabelLayout)
_Kept = TypeVar("_Kept", str, Block)

# Each needs what the one before it has said, or makes no sense before it.
_IN_ORDER = (
    "items",
    "subtotal",
    "tax",
    "total",
    "totals",
    "payment",
    "greeting",
    "body",
    "closing",
)
_BESIDE_OTHERS = ("sender", "title", "to", "date", "pairs", "price", "product", "ticks", "body")
_GAPS = ("rule", "space")
# What a page of its kind is nothing without; what an invoice comes to, its items have to say.
_ESSENTIAL = (
    "items", "totals", "table", "bars", "commands", "body", "product", "banner", "title", "ticks",
)  # fmt: skip


def add_made_up_documents(
    rng: random.Random, listed: Sequence[DocumentLayout], apart: Collection[DocumentLayout]
) -> tuple[DocumentLayout, ...]:
    """The listed ones with some of each kind beside them that look like none of `apart`."""
    made_up = (
        _unlike(apart, lambda name, kind=kind: _document(rng, name, kind, listed), f"{kind}-{n}")
        for kind in sorted({layout.kind for layout in listed})
        for n in range(_EACH_KIND)
    )
    return (*listed, *made_up)


def add_made_up_layouts(rng: random.Random, listed: Layouts, apart: Layouts) -> Layouts:
    """The listed ones with receipts and labels beside them."""
    receipts = (
        _unlike(apart.receipts, lambda name: _receipt(rng, name, listed.receipts), f"receipt-{n}")
        for n in range(_NUM_RECEIPTS)
    )
    labels = (
        _unlike(apart.labels, lambda name: _label(rng, name, listed.labels), f"label-{n}")
        for n in range(_NUM_LABELS)
    )
    return replace(
        listed,
        receipts=(*listed.receipts, *receipts),
        labels=(*listed.labels, *labels),
    )


def _unlike(apart: Collection[_Layout], make: Callable[[str], _Layout], name: str) -> _Layout:
    looks = {replace(layout, name="") for layout in apart}
    while replace(layout := make(f"made-up-{name}"), name="") in looks:
        pass
    return layout


def _document(
    rng: random.Random, name: str, kind: str, listed: Sequence[DocumentLayout]
) -> DocumentLayout:
    same = [layout for layout in listed if layout.kind == kind]
    parent = rng.choice(same)
    parts = _parts(rng, parent, [part for layout in same for part in layout.parts])
    dispensable = [part for part in parts if not set(part.split("|")) & {*_ESSENTIAL}]
    if len(dispensable) == len(parts):  # of a page of pairs some have to stay
        dispensable = [part for part in dispensable if "pairs" not in part.split("|")]
    return replace(
        _crossed(rng, parent, listed),
        name=name,
        kind=parent.kind,
        parts=tuple(parts),
        optional=tuple(part for part in dispensable if rng.random() < 0.5),
        families=parent.families,
        heading_scale=round(rng.uniform(1.0, 1.6), 2),
        line_gap=round(rng.uniform(1.15, 1.5), 2),
    )


def _parts(rng: random.Random, parent: DocumentLayout, others: Sequence[str]) -> list[str]:
    parts: list[str] = []
    for part in parent.parts:
        parts.extend(part.split("|") if rng.random() < 0.35 else [part])
    more = [part for part in others if not {*part.split("|")} & {*parts, *_IN_ORDER}]
    if more and rng.random() < 0.35:
        parts.insert(rng.randint(0, len(parts)), rng.choice(more))
    parts = [part for part in parts if part not in _GAPS or rng.random() < 0.6]
    _move_about(rng, parts)
    if rng.random() < 0.3:
        _put_beside(rng, parts)
    other = {"title": "banner", "banner": "title"}
    parts = [other.get(part, part) if rng.random() < 0.35 else part for part in parts]
    if len(parts) > 1 and rng.random() < 0.4:
        parts.insert(rng.randint(1, len(parts) - 1), rng.choice(_GAPS))
    return parts


def _move_about(rng: random.Random, parts: list[_Kept]) -> None:
    """Neighbours change places, but for those whose order has a meaning."""
    for _ in range(rng.randint(0, 4)):
        at = rng.randrange(max(1, len(parts) - 1))
        both = parts[at : at + 2]
        if any(not {*_IN_ORDER} & {*part.split("|")} for part in both):
            parts[at : at + 2] = both[::-1]


def _put_beside(rng: random.Random, parts: list[str]) -> None:
    fitting = [at for at in range(len(parts) - 1) if {*parts[at : at + 2]} <= {*_BESIDE_OTHERS}]
    if fitting:
        at = rng.choice(fitting)
        parts[at : at + 2] = ["|".join(parts[at : at + 2])]


def _receipt(rng: random.Random, name: str, listed: Sequence[ReceiptLayout]) -> ReceiptLayout:
    parent = rng.choice(listed)
    blocks = list(parent.blocks)
    _move_about(rng, blocks)
    return replace(
        _crossed(rng, parent, listed),
        name=name,
        blocks=tuple(blocks),
        optional=parent.optional,
        shop_scale=round(rng.uniform(1.0, 1.5), 2),
        total_scale=round(rng.uniform(1.0, 1.4), 2),
        line_gap=round(rng.uniform(1.15, 1.5), 2),
    )


def _label(rng: random.Random, name: str, listed: Sequence[LabelLayout]) -> LabelLayout:
    parent = rng.choice(listed)
    rows = rng.sample(parent.rows, len(parent.rows))
    price_scale = round(rng.uniform(1.1, 2.1), 2)
    crossed = _crossed(rng, parent, listed)
    return replace(crossed, name=name, rows=tuple(rows), price_scale=price_scale)


def _crossed(rng: random.Random, parent: _Layout, listed: Sequence[_Layout]) -> _Layout:
    """Each field of any of the layouts; of words, patterns and moneys some of all."""
    values: dict[str, Any] = {}
    for field in fields(parent):
        of_all = [getattr(layout, field.name) for layout in listed]
        is_several = isinstance(of_all[0], tuple)
        values[field.name] = _some(rng, of_all) if is_several else rng.choice(of_all)
    return replace(parent, **values)


def _some(rng: random.Random, of_all: Iterable[tuple[Any, ...]]) -> tuple[Any, ...]:
    distinct = list(dict.fromkeys(each for values in of_all for each in values))
    return tuple(rng.sample(distinct, min(len(distinct), rng.randint(1, _MOST_LABELS))))
