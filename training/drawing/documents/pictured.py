"""Blocks that show something besides text: bars, switches, buttons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..types import Fact
from .sheet import GAP_EMS, Sheet, Type

SwitchStyle = Literal["box", "slide"]


@dataclass(frozen=True, slots=True)
class Bars:
    """A bar for each label, its number printed at the end; lying ("rows") or standing."""

    labels: tuple[str, ...]
    values: tuple[int, ...]
    direction: Literal["rows", "columns"]
    shade: float

    @property
    def facts(self) -> tuple[Fact, ...]:
        named = list(zip(self.values, self.labels, strict=True))
        return (
            Fact("highest", (), max(named)[1]),
            Fact("lowest", (), min(named)[1]),
            Fact("count", ("bars",), str(len(named))),
            *(Fact("bar", (label,), str(value)) for value, label in named),
        )

    def least_width(self, type: Type) -> float:
        if self.direction == "rows":
            return max(map(type.width, self.labels)) + 10 * type.size_px
        return len(self.labels) * self._slot_px(type)

    def lay(self, sheet: Sheet, type: Type, x: float, y: float, width: float) -> float:
        if self.direction == "rows":
            return self._lay_rows(sheet, type, x, y, width)
        return self._lay_columns(sheet, type, x, y, width)

    def _lay_rows(self, sheet: Sheet, type: Type, x: float, y: float, width: float) -> float:
        em, height = type.size_px, 1.35 * type.row_px
        start = x + max(map(type.width, self.labels)) + 0.6 * em
        widest = max(type.width(str(value)) for value in self.values)
        room = x + width - start - widest - 0.4 * em
        for label, value in zip(self.labels, self.values, strict=True):
            end = start + room * value / max(self.values)
            box = (start, y + 0.15 * height, end, y + 0.85 * height)
            sheet.box(box, shade=self.shade, line_px=1.0)
            sheet.row([(x, label), (end + 0.3 * em, str(value))], y, height, type.pen())
            y += height
        return y + 0.3 * em

    def _lay_columns(self, sheet: Sheet, type: Type, x: float, y: float, width: float) -> float:
        """A bar's number stands over it and its label below: one line each, from left to right."""
        sheet.is_plain = False
        row, slot = type.row_px, width / len(self.labels)
        room = min(0.6 * width, 9 * type.size_px)
        ground = y + row + room
        for label, value in zip(self.labels, self.values, strict=True):
            high = room * value / max(self.values)
            sheet.box(
                (x + 0.2 * slot, ground - high, x + 0.8 * slot, ground),
                shade=self.shade,
                line_px=1.0,
            )
            for text, top in ((str(value), ground - high - row), (label, ground)):
                at = x + (slot - type.width(text)) / 2
                sheet.row([(at, text)], top, row, type.pen())
            sheet.lines[-2:] = [" ".join(sheet.lines[-2:])]
            x += slot
        left = x - width
        sheet.box((left, ground, x, ground + max(1.0, 0.06 * type.size_px)), shade=1.0)
        return ground + 1.3 * row

    def _slot_px(self, type: Type) -> float:
        texts = (*self.labels, *map(str, self.values))
        return max(map(type.width, texts)) + 0.6 * type.size_px


@dataclass(frozen=True, slots=True)
class Switches:
    """Settings that are on or off: ticked boxes, or knobs that stand left or right."""

    rows: tuple[tuple[str, bool], ...]
    style: SwitchStyle

    @property
    def facts(self) -> tuple[Fact, ...]:
        return tuple(Fact("switch", (key,), "Yes" if on else "No") for key, on in self.rows)

    def least_width(self, type: Type) -> float:
        return max(type.width(key) for key, _ in self.rows) + 3 * type.size_px

    def lay(self, sheet: Sheet, type: Type, x: float, y: float, width: float) -> float:
        em, height = type.size_px, 1.3 * type.row_px
        for key, on in self.rows:
            middle = y + height / 2
            if self.style == "box":
                self._lay_box(sheet, type, x, middle, on)
                sheet.row([(x + 1.4 * em, key)], y, height, type.pen())
            else:
                self._lay_slide(sheet, type, x + width - 1.8 * em, middle, on)
                sheet.row([(x, key)], y, height, type.pen())
            y += height
        return y

    def _lay_box(self, sheet: Sheet, type: Type, x: float, middle: float, on: bool) -> None:
        half = 0.42 * type.size_px
        line_px = max(1.0, 0.08 * type.size_px)
        sheet.box((x, middle - half, x + 2 * half, middle + half), line_px=line_px, radius=2)
        if on:
            inner = 0.4 * half
            inside = (x + inner, middle - half + inner, x + 2 * half - inner, middle + half - inner)
            sheet.box(inside, shade=1.0)

    def _lay_slide(self, sheet: Sheet, type: Type, x: float, middle: float, on: bool) -> None:
        half, long = 0.45 * type.size_px, 1.8 * type.size_px
        track = (x, middle - half, x + long, middle + half)
        sheet.box(track, shade=0.75 if on else 0.15, line_px=1.0, radius=half)
        knob = x + long - 2 * half if on else x
        inset = 0.15 * half
        box = (knob + inset, middle - half + inset, knob + 2 * half - inset, middle + half - inset)
        sheet.box(box, line_px=1.0, radius=half - inset)


@dataclass(frozen=True, slots=True)
class Buttons:
    """Buttons in a row, the last of them stressed."""

    labels: tuple[str, ...]

    @property
    def facts(self) -> tuple[Fact, ...]:
        return tuple(Fact("there", (label,), "Yes") for label in self.labels)

    def least_width(self, type: Type) -> float:
        return sum(self._width(type, label) for label in self.labels)

    def lay(self, sheet: Sheet, type: Type, x: float, y: float, width: float) -> float:
        height = 1.4 * type.row_px
        y += 0.4 * type.size_px
        at = x + width - self.least_width(type)
        first = len(sheet.lines)
        for label in self.labels:
            is_last = label == self.labels[-1]
            gap, wide = 0.5 * GAP_EMS * type.size_px, self._width(type, label)
            sheet.box(
                (at + gap, y, at + wide, y + height),
                shade=0.85 if is_last else 0.0,
                line_px=1.0,
                radius=4,
            )
            text_x = at + gap + (wide - gap - type.width(label)) / 2
            sheet.row([(text_x, label)], y, height, type.pen(), inverse=is_last)
            at += wide
        sheet.lines[first:] = [" ".join(sheet.lines[first:])]
        return y + height

    def _width(self, type: Type, label: str) -> float:
        return type.width(label) + 2.4 * GAP_EMS * type.size_px
