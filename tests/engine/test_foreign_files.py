"""Files that are no pictures here are known for what they are."""

from __future__ import annotations

import pytest

from cortex.engine.foreign_files import foreign_kind


def boxed(brand: bytes, *others: bytes) -> bytes:
    head = b"ftyp" + brand + bytes(4) + b"".join(others)
    return (4 + len(head)).to_bytes(4, "big") + head + b"\0\0\0\x08meta"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (boxed(b"heic", b"mif1", b"heic"), "a HEIC picture"),
        (boxed(b"mif1", b"heic"), "a HEIC picture"),
        (boxed(b"mif1", b"avif"), "an AVIF picture"),
        (boxed(b"avif"), "an AVIF picture"),
        (boxed(b"isom", b"mp41"), None),
        (b"II*\0rest", "a TIFF picture"),
        (b"MM\0*rest", "a TIFF picture"),
        (b"BM\x46\0\0\0\0\0\0\0\x36", "a BMP picture"),
        (b"BMW is a maker of cars", None),
        (b"%PDF-1.7", "a PDF"),
        (b"\x89PNG\r\n\x1a\n", None),
        (b"ftyp", None),
        (b"", None),
    ],
)
def test_a_file_is_known_by_how_it_begins(data: bytes, kind: str | None) -> None:
    assert foreign_kind(data) == kind
