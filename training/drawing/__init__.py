"""Pictures that the project draws itself, with the truth about them.

`Book` is what is drawn from, `Picture` what comes out. The names below are the whole door.
"""

from .book import Book, evaluation_book, training_book
from .documents.compose import draw_document
from .label import draw_label
from .line import draw_line
from .page import draw_page
from .receipt import draw_receipt
from .types import Fact, Facts, Glyph, Picture, Sample

__all__ = [
    "Book", "Fact", "Facts", "Glyph", "Picture", "Sample",
    "draw_document", "draw_label", "draw_line", "draw_page", "draw_receipt",
    "evaluation_book", "training_book",
]  # fmt: skip
