"""What a document looks like, as data: its parts from top to bottom and how each is set.

A layout never draws itself. Like those of receipts, layouts are plain frozen values that can be
compared and hashed, which is how training and evaluation are kept apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..layouts import Align
from ..printed import Money
from ..types import DocumentKind
from .blocks import PairStyle, TableStyle
from .pictured import SwitchStyle

DOLLAR, POUND, EURO = Money("$"), Money("£"), Money("€")
AMOUNT_PARTS = ("totals", "price")  # each tells the one amount that a page is about
EURO_AFTER, PLAIN = Money("", " €", ","), Money("")


@dataclass(frozen=True, slots=True)
class DocumentLayout:
    """`parts` are names of `content.PARTS`; those with a bar between them stand side by side.

    `optional` parts are left out now and then. `families` names fonts by a piece of their folder's
    name; empty: any. `window` puts a frame around everything, as on a screen.
    """

    name: str
    kind: DocumentKind
    parts: tuple[str, ...]
    date_patterns: tuple[str, ...]
    optional: tuple[str, ...] = ()
    heading: Align = "left"
    heading_scale: float = 1.3
    pairs: PairStyle = "colon"
    bold_keys: bool = False
    table: TableStyle = "plain"
    moneys: tuple[Money, ...] = (DOLLAR, POUND, EURO)
    total_labels: tuple[str, ...] = ("Total",)
    tax_labels: tuple[str, ...] = ("Tax",)
    to_labels: tuple[str, ...] = ("To:",)
    greetings: tuple[str, ...] = ("Dear {name},",)
    closings: tuple[str, ...] = ("Yours sincerely,",)
    prompts: tuple[str, ...] = ("$",)
    switches: SwitchStyle = "box"
    upright_bars: bool = False
    families: tuple[str, ...] = ()
    line_gap: float = 1.3
    window: bool = False

    @property
    def has_amount(self) -> bool:
        return any(name in AMOUNT_PARTS for part in self.parts for name in part.split("|"))
