"""An answer that has been streamed, printed once more as what its Markdown means.

It is replaced only where that is certain to succeed: all of it still on the screen, and no
character in it whose width terminals disagree about.
"""

from __future__ import annotations

import io
import math
import unicodedata

from cortex.peer.onlooker.cells import joins_syllable, num_cells
from cortex.peer.talk.markdown import is_marked_up, with_line_breaks

_TAB_CELLS = 8
# Marks that join others, and signs that nobody sees: how many cells they take is anybody's guess,
# and whether a separator of lines or paragraphs begins a row.
_UNCERTAIN = frozenset({"Mn", "Mc", "Me", "Cf", "Co", "Cn", "Sk", "Zl", "Zp"})
_BACK_AND_ERASE = "\x1b[J"


def replacement(text: str, columns: int, lines: int, *, has_colour: bool) -> str | None:
    """What to write behind `text`, which has just been written from the first column on.

    None where the text says all there is to say, or cannot be taken back.
    """
    if not is_marked_up(text):
        return None
    num_rows = rows_taken(text, columns)
    if num_rows is None or num_rows >= lines:
        return None
    up = f"\x1b[{num_rows - 1}A" if num_rows > 1 else ""
    return f"\r{up}{_BACK_AND_ERASE}{render(text, columns, has_colour=has_colour)}"


def rows_taken(text: str, columns: int) -> int | None:
    """How many rows of a terminal it takes, the one with the cursor included; None if unsure."""
    if any(map(_is_uncertain, text)):
        return None
    num_rows = 0
    for line in text.split("\n"):
        shown = line.expandtabs(_TAB_CELLS)
        # At the right edge a tabulator stays in its row, and what comes then is there already. How
        # far one goes behind wide letters is not counted here.
        if "\t" in line and (len(shown) > columns or num_cells(line) != len(line)):
            return None
        num_rows += _rows_of_line(shown, columns)
    return num_rows


def render(text: str, columns: int, *, has_colour: bool) -> str:
    from rich.console import Console
    from rich.markdown import Markdown

    file = io.StringIO()
    console = Console(
        file=file, width=columns, force_terminal=True, no_color=not has_colour, highlight=False
    )
    # What a link leads to is written out: a terminal would open it without showing it.
    console.print(Markdown(with_line_breaks(text), hyperlinks=False))
    return file.getvalue()


def _is_uncertain(char: str) -> bool:
    if char.isascii():
        return False
    return unicodedata.category(char) in _UNCERTAIN or joins_syllable(char)


def _rows_of_line(line: str, columns: int) -> int:
    if line.isascii():
        return max(1, math.ceil(len(line) / columns))
    rows, used = 1, 0
    for char in line:
        cells = num_cells(char)
        if used + cells > columns:
            rows, used = rows + 1, 0
        used += cells
    return rows
