"""Pictures in half blocks."""

from __future__ import annotations

import io
import struct
import sys
import warnings
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from cortex.tui.image import draw_picture


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_a_cell_is_two_pixels_in_their_colours() -> None:
    image = Image.new("RGB", (1, 2), (255, 0, 0))
    image.putpixel((0, 1), (0, 0, 255))
    drawing = draw_picture(png(image), 10, 10)
    assert drawing is not None
    assert drawing.text.plain == "▀"
    [span] = drawing.text.spans
    assert str(span.style) == "#ff0000 on #0000ff"
    assert (drawing.width, drawing.height) == (1, 2)


def test_it_fits_its_cells_and_keeps_its_shape(checkout: Path) -> None:
    data = (checkout / "examples" / "receipt.png").read_bytes()
    drawing = draw_picture(data, 40, 10)
    assert drawing is not None
    rows = drawing.text.plain.split("\n")
    assert len(rows) == 10
    assert {len(row) for row in rows} == {round(20 * drawing.width / drawing.height)}


@pytest.mark.parametrize(("columns", "rows"), [(0, 0), (-3, 9), (9, -3)])
def test_where_there_is_no_cell_it_takes_one(columns: int, rows: int) -> None:
    drawing = draw_picture(png(Image.new("RGB", (40, 40))), columns, rows)
    assert drawing is not None and drawing.text.plain.strip("▀") == ""


def test_what_is_transparent_lies_on_paper() -> None:
    drawing = draw_picture(png(Image.new("RGBA", (1, 1), (0, 0, 0, 0))), 4, 4)
    assert drawing is not None
    assert str(drawing.text.spans[0].style) == "#ffffff"


@pytest.mark.parametrize("data", [b"", b"Dear reader,", b"\x89PNG\r\n\x1a\n" + b"x" * 99])
def test_what_is_no_picture_is_not_drawn(data: bytes) -> None:
    assert draw_picture(data, 10, 10) is None


def jpeg(image: Image.Image, exif: bytes) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif)
    return file.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def test_the_size_is_that_of_the_file_however_small_it_is_read() -> None:
    image = Image.new("RGB", (1600, 1200), "red")
    for orientation, size in ((1, (1600, 1200)), (3, (1600, 1200)), (6, (1200, 1600))):
        drawing = draw_picture(jpeg(image, turned(orientation)), 10, 10)
        assert drawing is not None
        assert (drawing.width, drawing.height) == size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_pillow_turns_it(orientation: int) -> None:
    image = Image.new("RGB", (2, 4))
    image.putdata([(n * 30, 0, 0) for n in range(8)])
    file = io.BytesIO()
    image.save(file, "PNG", exif=turned(orientation))

    with Image.open(io.BytesIO(file.getvalue())) as saved:
        expected = draw_picture(png(ImageOps.exif_transpose(saved)), 10, 10)
    assert draw_picture(file.getvalue(), 10, 10) == expected


def test_notes_that_no_program_should_have_written_do_not_hide_a_picture() -> None:
    """An orientation, and a tag of a number that does not fit its own kind."""
    entries = struct.pack("<HHII", 0x0112, 3, 1, 6) + struct.pack("<HHIi", 0x0101, 9, 1, -1)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0)
    drawing = draw_picture(jpeg(Image.new("RGB", (16, 8)), exif), 10, 10)
    assert drawing is not None and (drawing.width, drawing.height) == (8, 16)


def test_what_pillow_warns_of_is_not_told() -> None:
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 9)  # the nine notes are cut off
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert draw_picture(jpeg(Image.new("RGB", (8, 8)), exif), 10, 10) is not None
    assert told == []


def test_a_picture_of_too_many_pixels_is_not_opened() -> None:
    assert draw_picture(png(Image.new("1", (8000, 6000))), 10, 10) is None


def test_without_pillow_there_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    data = png(Image.new("RGB", (1, 1)))
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert draw_picture(data, 10, 10) is None
