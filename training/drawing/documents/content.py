"""What a document says: its layout's parts filled from one side's word lists, as blocks.

Every value is made once and printed as it is; the sums of an invoice are true. Dates that are
printed anywhere are told to `Content`, so that no page is asked for "the" date unless it has one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..book import Book
from ..names import address, shop_name
from ..printed import Money, any_cents
from ..types import Fact
from .blocks import Block, Columns, Pairs, Rule, Table, Words
from .layouts import DocumentLayout
from .pictured import Bars, Buttons, Switches
from .values import any_value

_RATES = (5, 7, 10, 19, 20)


@dataclass(slots=True)
class Content:
    """One document in the making. `most_rows` bounds tables, lists and letters."""

    rng: random.Random
    book: Book
    layout: DocumentLayout
    most_rows: int
    money: Money
    date_pattern: str
    reader: str  # whom it is written to
    spec: list[str]  # of the page's table or bars: title, and what follows
    sum_cents: int = 0
    facts: list[Fact] = field(default_factory=list[Fact])
    used: set[str] = field(default_factory=set[str])

    def blocks(self, *, with_optional: float) -> list[Block]:
        blocks: list[Block] = []
        for part in self.layout.parts:
            if part not in self.layout.optional or self.rng.random() < with_optional:
                filled = (tuple(PARTS[name](self)) for name in part.split("|"))
                sides = tuple(side for side in filled if side)  # a word list may be used up
                blocks.extend([Columns(sides)] if len(sides) > 1 else sides[0] if sides else ())
        while blocks and isinstance(blocks[-1], Rule):  # nothing comes after it any more
            blocks.pop()
        return blocks

    def of_kind(self, words: tuple[str, ...]) -> list[list[str]]:
        """A word list's entries for this kind of document, cut at their bars."""
        entries = [entry.split("|") for entry in words]
        return [rest for kind, *rest in entries if kind == self.layout.kind]

    def pick(self, choices: Sequence[str]) -> str:
        return self.rng.choice(choices)

    def rows(self, least: int, most: int) -> int:
        most = max(least, min(most, self.most_rows))
        return self.rng.randint(least, most)

    def fresh(self, make: Callable[[], str]) -> str:
        """A value that does not stand on the page yet."""
        while (value := make()).casefold() in self.used:
            pass
        self.used.add(value.casefold())
        return value

    def value(self, type: str) -> str:
        value = any_value(self.rng, self.book.words, type, self.money, self.date_pattern)
        if type == "date":
            self.facts.append(Fact("date", (), value))
        return value


def begin(rng: random.Random, book: Book, layout: DocumentLayout, most_rows: int) -> Content:
    """An empty page that has settled on its money, its dates and what its table is about."""
    words = book.words
    specs = words.charts if layout.kind == "chart" else words.tables
    return Content(
        rng, book, layout, most_rows, rng.choice(layout.moneys), rng.choice(layout.date_patterns),
        rng.choice(words.people), rng.choice(specs).split("|"),
    )  # fmt: skip


def _heading(page: Content, *, is_banner: bool) -> list[Block]:
    layout = page.layout
    has_spec = layout.kind in ("table", "chart")
    text = page.spec[0] if has_spec else page.rng.choice(page.of_kind(page.book.words.titles))[0]
    return [
        Words(
            text,
            layout.heading,
            layout.heading_scale,
            bold=is_banner or page.rng.random() < 0.6,
            is_banner=is_banner,
            facts=(Fact("heading", (), text),),
        )
    ]


def _sender(page: Content) -> list[Block]:
    layout, words = page.layout, page.book.words
    name = shop_name(page.rng, words)
    lines = [address(page.rng, words)]
    if page.rng.random() < 0.5:
        lines.append(page.value("phone"))
    who = Words(name, layout.heading, bold=True, facts=(Fact("who", (), name),))
    return [who, *(Words(line, layout.heading) for line in lines)]


def _to(page: Content) -> list[Block]:
    label = page.pick(page.layout.to_labels)
    name = page.reader
    lines = [*([label] if label else []), name, page.value("street"), page.value("town")]
    facts = (Fact("to", (), name),)
    return [Words(line, facts=facts if line == name else ()) for line in lines]


def _pairs(page: Content) -> list[Block]:
    keys = [entry for entry in page.of_kind(page.book.words.keys) if entry[1] not in page.used]
    page.rng.shuffle(keys)
    chosen = keys[: page.rows(1, 10 if page.layout.kind == "form" else 4)]
    page.used.update(key for _, key in chosen)
    if not chosen:
        return []
    rows = tuple((key, page.value(type)) for type, key in chosen)
    more: tuple[Fact, ...] = ()
    if page.layout.kind == "label":
        prices = [
            value for (type, _), (_, value) in zip(chosen, rows, strict=True) if type == "money"
        ]
        more = tuple(Fact("price", (), price) for price in prices)
    return [Pairs(rows, page.layout.pairs, page.layout.bold_keys, more)]


def _items(page: Content) -> list[Block]:
    """Items and below them what they come to: the two parts of a bill that must agree."""
    rng, layout = page.rng, page.layout
    columns = tuple(page.pick(page.book.words.item_columns).split("|"))
    rows: list[tuple[str, ...]] = []
    sum_cents = 0
    for _ in range(page.rows(1, 12)):
        count, each = rng.choice((1, 1, 1, 2, 3, 4, 5, 10)), any_cents(rng)
        name = page.fresh(lambda: page.value("product"))
        amounts = (page.money.print(each), page.money.print(count * each))
        rows.append((name, str(count), *amounts))
        sum_cents += count * each
    if rng.random() < 0.3:  # a short table: names and amounts alone
        columns, rows = (columns[0], columns[3]), [(row[0], row[3]) for row in rows]
    page.sum_cents = sum_cents
    from_right = frozenset(range(1, len(columns)))
    facts = tuple(Fact("item", (row[0],), row[-1]) for row in rows)
    page.facts.extend(facts if len(columns) == 2 else ())
    return [Table(columns, tuple(rows), "items", layout.table, from_right)]


def _totals(page: Content) -> list[Block]:
    rng, layout, money = page.rng, page.layout, page.money
    total = page.sum_cents
    rows: list[tuple[str, str]] = []
    if rng.random() < 0.5:
        rate = rng.choice(_RATES)
        tax = round(total * rate / 100)
        rows += [
            ("Subtotal", money.print(total)),
            (page.pick(layout.tax_labels).format(rate=rate), money.print(tax)),
        ]
        total += tax
    rows.append((page.pick(layout.total_labels), money.print(total)))
    return [Pairs(tuple(rows), "edges", layout.bold_keys, (Fact("total", (), money.print(total)),))]


def _table(page: Content) -> list[Block]:
    _, noun, *specs = page.spec
    columns, types = zip(*(spec.split("=") for spec in specs), strict=True)
    page.used.update(columns)
    rows = tuple(
        (page.fresh(lambda: page.value(types[0])), *(page.value(type) for type in types[1:]))
        for _ in range(page.rows(2, 12))
    )
    numbers = frozenset(i for i, t in enumerate(types) if i and t in ("count", "money", "grams"))
    return [Table(columns, rows, noun, page.layout.table, numbers)]


def _bars(page: Content) -> list[Block]:
    labels = tuple(page.spec[1].split(","))[: page.rows(3, 7)]
    most = page.rng.choice((20, 100, 900))
    values = tuple(page.rng.sample(range(most // 10, most), len(labels)))
    direction = "columns" if page.layout.upright_bars else "rows"
    return [Bars(labels, values, direction, page.rng.uniform(0.1, 0.9))]


def _body(page: Content) -> list[Block]:
    sentences = page.rng.sample(page.book.words.sentences, page.rows(1, 8))
    filled = [_filled(page, sentence) for sentence in sentences]
    half = len(filled) // 2 if page.rng.random() < 0.5 else 0
    texts = [" ".join(part) for part in (filled[:half], filled[half:]) if part]
    return [Words(text, is_paragraph=True) for text in texts]


def _filled(page: Content, text: str) -> str:
    """The text with its slots, such as {town}, filled."""
    pieces = text.replace("}", "{").split("{")
    return "".join(page.value(p) if i % 2 else p for i, p in enumerate(pieces))


def _greeting(page: Content) -> list[Block]:
    text = page.pick(page.layout.greetings).format(name=page.reader)
    return [Words(text, facts=(Fact("to", (), page.reader),)), Rule(0.0)]


def _closing(page: Content) -> list[Block]:
    page.used.add(page.reader.casefold())
    name = page.fresh(lambda: page.value("name"))
    signed = Words(name, facts=(Fact("who", (), name),))
    return [Words(page.pick(page.layout.closings)), signed]


def _price(page: Content) -> list[Block]:
    price = page.value("money")
    scale = page.rng.choice((1.3, 1.8, 2.4))
    return [Words(price, page.layout.heading, scale, True, facts=(Fact("price", (), price),))]


def _product(page: Content) -> list[Block]:
    name = page.value("product")
    scale = page.layout.heading_scale
    return [Words(name, page.layout.heading, scale, facts=(Fact("product", (), name),))]


def _commands(page: Content) -> list[Block]:
    prompt, blocks = page.pick(page.layout.prompts), list[Block]()
    for _ in range(page.rows(1, 3)):
        command = page.pick(page.book.words.commands)
        blocks.append(Words(f"{prompt} {command}", facts=(Fact("command", (), command),)))
        outputs = page.rng.sample(page.book.words.outputs, page.rows(1, 4))
        blocks.extend(Words(_filled(page, output)) for output in outputs)
    return blocks


def _ticks(page: Content) -> list[Block]:
    keys = page.rng.sample(page.book.words.switches, page.rows(1, 6))
    rows = tuple((key, page.rng.random() < 0.5) for key in keys)
    return [Switches(rows, page.layout.switches)]


def _buttons(page: Content) -> list[Block]:
    return [Buttons(tuple(page.rng.sample(page.book.words.buttons, page.rng.randint(1, 3))))]


PARTS: dict[str, Callable[[Content], list[Block]]] = {
    "title": lambda page: _heading(page, is_banner=False),
    "banner": lambda page: _heading(page, is_banner=True),
    "sender": _sender,
    "to": _to,
    "date": lambda page: [Words(page.value("date"))],
    "pairs": _pairs,
    "items": _items,
    "totals": _totals,
    "table": _table,
    "bars": _bars,
    "greeting": _greeting,
    "body": _body,
    "closing": _closing,
    "price": _price,
    "product": _product,
    "commands": _commands,
    "ticks": _ticks,
    "buttons": _buttons,
    "thanks": lambda page: [Words(page.pick(page.book.words.thanks), "centre")],
    "rule": lambda page: [Rule()],
    "space": lambda page: [Rule(0.0)],
}


def line_facts(lines: Sequence[str]) -> tuple[Fact, ...]:
    """Each line by its number, for pages whose lines follow each other from top to bottom."""
    return tuple(Fact("line", (str(number),), line) for number, line in enumerate(lines, 1))
