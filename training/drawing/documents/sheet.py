"""Marks on their way to paper: texts and boxes with their places, and the lines they make.

A document is laid out before its sheet's size is known; `paint` then puts everything on a canvas.
Does not know what a table or a form is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..canvas import Canvas, Pen
from ..fonts import Family, FontShelf

GAP_EMS = 0.8  # least space between two texts of one line


@dataclass(frozen=True, slots=True)
class Type:
    """The family and size that a document is set in."""

    shelf: FontShelf
    family: Family
    size_px: float
    line_gap: float

    def pen(self, *, bold: bool = False, scale: float = 1.0) -> Pen:
        return Pen(self.family.bold if bold else self.family.regular, self.size_px * scale)

    def width(self, text: str, *, bold: bool = False, scale: float = 1.0) -> float:
        pen = self.pen(bold=bold, scale=scale)
        return self.shelf.sized(pen.face, pen.size_px).width(text)

    @property
    def row_px(self) -> float:
        return self.size_px * self.line_gap


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    x: float
    baseline: float
    pen: Pen
    inverse: bool


@dataclass(frozen=True, slots=True)
class _Box:
    corners: tuple[float, float, float, float]
    shade: float
    line_px: float
    radius: float


@dataclass(slots=True)
class Sheet:
    """What has been laid out so far. `is_plain`: its lines follow each other from top to bottom."""

    lines: list[str] = field(default_factory=list[str])
    is_plain: bool = True
    _texts: list[_Text] = field(default_factory=list[_Text])
    _boxes: list[_Box] = field(default_factory=list[_Box])

    def row(
        self,
        texts: list[tuple[float, str]],
        top: float,
        height: float,
        pen: Pen,
        *,
        inverse: bool = False,
    ) -> None:
        """One line of texts, each from its x on, in the middle of a row of this height."""
        baseline = top + height / 2 + 0.36 * pen.size_px
        written = [(x, text) for x, text in texts if text]
        self._texts.extend(_Text(text, x, baseline, pen, inverse) for x, text in written)
        if written:
            self.lines.append(" ".join(text for _, text in written))

    def box(
        self,
        corners: tuple[float, float, float, float],
        *,
        shade: float = 0.0,
        line_px: float = 0.0,
        radius: float = 0.0,
    ) -> None:
        self._boxes.append(_Box(corners, shade, line_px, radius))

    def paint(self, canvas: Canvas, dx: float, dy: float) -> None:
        for box in self._boxes:
            x0, y0, x1, y1 = box.corners
            canvas.box((x0 + dx, y0 + dy, x1 + dx, y1 + dy), box.shade, box.line_px, box.radius)
        for text in self._texts:
            canvas.write(text.text, text.x + dx, text.baseline + dy, text.pen, inverse=text.inverse)
