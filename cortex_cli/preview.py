"""A small drawing of a picture that goes with a prompt, for the person who sends it."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable

from cortex.engine.types import ImagePart

# Sixty columns are some 46 KiB of colours: little beside the program, much through a thin wire.
_COLUMNS, _REMOTE_COLUMNS = 60, 40
_ROWS = 16


def preview_for(*, is_remote: bool) -> Callable[[ImagePart], str | None]:
    """How a picture is drawn on this terminal; None where it cannot be."""
    most = _REMOTE_COLUMNS if is_remote else _COLUMNS

    def draw(picture: ImagePart) -> str | None:
        from rich.console import Console

        from cortex.tui.image import draw_picture

        size = shutil.get_terminal_size()
        drawing = draw_picture(picture.data, min(most, size.columns - 1), min(_ROWS, size.lines))
        if drawing is None:
            return None
        file = io.StringIO()
        Console(file=file, width=size.columns, force_terminal=True).print(drawing.text)
        return file.getvalue()

    return draw
