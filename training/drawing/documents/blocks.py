"""What documents are put together from. A block knows its facts, and how to lay itself out.

`least_width` and `lay` work in pixels of the drawn picture; `lay` returns where the next block
begins. Blocks know nothing of kinds of documents, and nothing of questions but their facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ..layouts import Align
from ..types import Fact
from .sheet import GAP_EMS, Sheet, Type

PairStyle = Literal["colon", "column", "edges", "stacked", "boxed"]
TableStyle = Literal["plain", "head", "lines", "grid", "stripes"]
_PARAGRAPH_EMS = 13.0
_SHADE = 0.08  # of a tinted row or field: readable under ink
_DARK = 0.85  # of a filled head or button: readable under paper's colour


class Block(Protocol):
    @property
    def facts(self) -> tuple[Fact, ...]: ...

    def least_width(self, type: Type) -> float: ...

    def lay(self, sheet: Sheet, type: Type, x: float, y: float, width: float) -> float: ...


def lay_all(
    blocks: Iterable[Block], sheet: Sheet, type: Type, x: float, y: float, width: float
) -> float:
    for block in blocks:
        y = block.lay(sheet, type, x, y, width)
    return y


@dataclass(frozen=True, slots=True)
class Words:
    """A heading, a line or a paragraph, which alone is broken into lines."""

    text: str
    align: Align = "left"
    scale: float = 1.0
    bold: bool = False
    is_paragraph: bool = False
    is_banner: bool = False
    facts: tuple[Fact, ...] = ()

    def least_width(self, type: Type) -> float:
        if self.is_paragraph:
            longest = max(type.width(word) for word in self.text.split())
            return max(longest, _PARAGRAPH_EMS * type.size_px)
        room = type.size_px if self.is_banner else 0.0
        return type.width(self.text, bold=self.bold, scale=self.scale) + room

    def lay(self, sheet: Sheet, type: Type, x: float, y: float, width: float) -> float:
        pen = type.pen(bold=self.bold, scale=self.scale)
        height = type.row_px * self.scale
        if self.is_banner:
            height *= 1.25
            sheet.box((x, y, x + width, y + height), shade=_DARK, radius=2)
        for line in self._lines(type, width):
            spare = width - type.width(line, bold=self.bold, scale=self.scale)
            inset = 0.5 * type.size_px if self.is_banner else 0.0
            shift = {"left": inset, "centre": spare / 2, "right": spare - inset}[self.align]
            sheet.row([(x + shift, line)], y, height, pen, inverse=self.is_banner)
            y += height
        return y + (0.35 * type.size_px if self.is_banner or self.is_paragraph else 0.0)

    def _lines(self, type: Type, width: float) -> list[str]:
        if not self.is_paragraph:
            return [self.text]
        lines = [""]
        for word in self.text.split():
            longer = f"{lines[-1]} {word}".strip()
            if type.width(longer) > width and lines[-1]:
                lines.append(word)
            else:
                lines[-1] = longer
        return lines


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across, or only some space where its thickness is nothing."""

    thickness_ems: float = 0.06
    facts: tuple[Fact, ...] = ()

    def least_width(self, type: Type) -> float:
        return 0.0

    def lay(self, sheet: Sheet, type: Type, x: float, y: float, width: float) -> float:
        height = 0.6 * type.size_px
        if self.thickness_ems:
            line_px = max(1.0, self.thickness_ems * type.size_px)
            sheet.box((x, y + height / 2, x + width, y + height / 2 + line_px), shade=1.0)
        return y + height


@dataclass(frozen=True, slots=True)
class Pairs:
    """Keys with their values, one pair a row. `more` are facts beyond the pairs themselves."""

    rows: tuple[tuple[str, str], ...]
    style: PairStyle
    bold_keys: bool = False
    more: tuple[Fact, ...] = ()

    @property
    def facts(self) -> tuple[Fact, ...]:
        return (*(Fact("key", (key,), value) for key, value in self.rows), *self.more)

    def least_width(self, type: Type) -> float:
        gap = GAP_EMS * type.size_px
        keys, values = self._widths(type)
        if self.style == "stacked":
            return max(keys, values)
        if self.style in ("column", "boxed"):
            return keys + values + 3 * gap
        return max(
            type.width(self._key(key), bold=self.bold_keys) + type.width(value) + gap
            for key, value in self.rows
        )

    def lay(self, sheet: Sheet, type: Type, x: float, y: float, width: float) -> float:
        em, height = type.size_px, type.row_px
        pen = type.pen(bold=self.bold_keys)
        at = x + self._widths(type)[0] + 1.5 * GAP_EMS * em
        for key, value in self.rows:
            key = self._key(key)
            wide = type.width(key, bold=self.bold_keys)
            if self.style == "stacked":
                sheet.row([(x, key)], y, height, pen)
                sheet.row([(x, value)], y + height, height, type.pen())
                y += 2.3 * height
                continue
            if self.style == "boxed":
                height = 1.35 * type.row_px
                top, end = y + 0.06 * height, y + 0.94 * height
                sheet.box((at - 0.4 * em, top, x + width, end), line_px=1.0, radius=2)
            if self.style == "colon":
                at = x + wide + 0.35 * em
            elif self.style == "edges":
                at = x + width - type.width(value)
            self._row(sheet, type, (x, key), (at, value), y, height)
            y += height
        return y

    def _row(
        self,
        sheet: Sheet,
        type: Type,
        key: tuple[float, str],
        value: tuple[float, str],
        y: float,
        height: float,
    ) -> None:
        if not self.bold_keys:
            sheet.row([key, value], y, height, type.pen())
            return
        sheet.row([key], y, height, type.pen(bold=True))
        sheet.row([value], y, height, type.pen())
        sheet.lines[-2:] = [" ".join(sheet.lines[-2:])]  # two pens, one line

    def _key(self, key: str) -> str:
        return f"{key}:" if self.style == "colon" else key

    def _widths(self, type: Type) -> tuple[float, float]:
        keys = max(type.width(self._key(key), bold=self.bold_keys) for key, _ in self.rows)
        return keys, max(type.width(value) for _, value in self.rows)


@dataclass(frozen=True, slots=True)
class Table:
    """Columns with a head, the first of which names the rows. `noun` is what a row is."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    noun: str
    style: TableStyle
    from_right: frozenset[int] = frozenset()

    @property
    def facts(self) -> tuple[Fact, ...]:
        cells = [
            (Fact("cell", (row[0], column), value), Fact("row", (value, column), row[0]))
            for row in self.rows
            for column, value in zip(self.columns[1:], row[1:], strict=True)
        ]
        count = Fact("count", (self.noun,), str(len(self.rows)))
        return (count, *(fact for pair in cells for fact in pair))

    def least_width(self, type: Type) -> float:
        return sum(self._widths(type))

    def lay(self, sheet: Sheet, type: Type, x: float, y: float, width: float) -> float:
        least = self._widths(type)
        # What is to spare goes to the first column, but for a share of each of the others.
        spare = max(0.0, width - sum(least))
        share = spare / (len(least) + 1)
        widths = [least[0] + 2 * share, *(wide + share for wide in least[1:])]
        height = type.row_px * (1.0 if self.style == "plain" else 1.25)
        y += 0.4 * type.size_px
        for number, row in enumerate((self.columns, *self.rows)):
            is_head = number == 0
            self._lay_ground(sheet, type, number, x, y, widths, height)
            texts: list[tuple[float, str]] = []
            at = x
            for column, (wide, text) in enumerate(zip(widths, row, strict=True)):
                inset = 0.5 * GAP_EMS * type.size_px
                if column in self.from_right:
                    inset = wide - inset - type.width(text, bold=is_head)
                texts.append((at + inset, text))
                at += wide
            inverse = is_head and self.style == "head"
            sheet.row(texts, y, height, type.pen(bold=is_head), inverse=inverse)
            y += height
        return y + 0.3 * type.size_px

    def _lay_ground(
        self,
        sheet: Sheet,
        type: Type,
        number: int,
        x: float,
        y: float,
        widths: Sequence[float],
        height: float,
    ) -> None:
        end = x + sum(widths)
        line_px = max(1.0, 0.05 * type.size_px)
        if self.style == "head" and number == 0:
            sheet.box((x, y, end, y + height), shade=_DARK)
        elif self.style == "stripes" and number % 2 == 0:
            sheet.box((x, y, end, y + height), shade=_SHADE)
        elif self.style == "lines":
            sheet.box((x, y + height - line_px, end, y + height), shade=1.0)
        elif self.style == "grid":
            for wide in widths:
                sheet.box((x, y, x + wide + line_px, y + height + line_px), line_px=line_px)
                x += wide

    def _widths(self, type: Type) -> list[float]:
        gap = GAP_EMS * type.size_px
        return [
            max(
                type.width(self.columns[column], bold=True),
                *(type.width(row[column]) for row in self.rows),
            )
            + gap
            for column in range(len(self.columns))
        ]


@dataclass(frozen=True, slots=True)
class Columns:
    """Blocks side by side, read one after the other."""

    sides: tuple[tuple[Block, ...], ...]

    @property
    def facts(self) -> tuple[Fact, ...]:
        return tuple(fact for side in self.sides for block in side for fact in block.facts)

    def least_width(self, type: Type) -> float:
        gaps = (len(self.sides) - 1) * 2 * GAP_EMS * type.size_px
        return sum(self._widths(type)) + gaps

    def lay(self, sheet: Sheet, type: Type, x: float, y: float, width: float) -> float:
        least = self._widths(type)
        spare = (width - self.least_width(type)) / len(least)
        ends: list[float] = []
        for side, wide in zip(self.sides, least, strict=True):
            ends.append(lay_all(side, sheet, type, x, y, wide + spare))
            x += wide + spare + 2 * GAP_EMS * type.size_px
        sheet.is_plain = False
        return max(ends)

    def _widths(self, type: Type) -> list[float]:
        return [max(block.least_width(type) for block in side) for side in self.sides]
