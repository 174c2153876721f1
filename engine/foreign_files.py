"""Files that people take for pictures, and that are none of the kinds that are opened here, known
by their first bytes. Standard library only.
"""

from __future__ import annotations

PDF = "a PDF"
_BEGINNINGS = {
    b"%PDF-": PDF,
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
}
# Of the container that films are in as well: brands of still pictures.
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")


def foreign_kind(data: bytes) -> str | None:
    """What a person would call them; None where their kind is not known."""
    for beginning, kind in _BEGINNINGS.items():
        if data.startswith(beginning):
            return kind
    # Letters that a text may begin with; behind them the file's size, and four bytes of nothing.
    if data.startswith(b"BM") and data[6:10] == bytes(4):
        return "a BMP picture"
    return _in_boxes(data) if data[4:8] == b"ftyp" else None


def _in_boxes(data: bytes) -> str | None:
    """The brand, and behind four bytes more the others that it is compatible with."""
    num_bytes = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, num_bytes, 4))}
    if brands.intersection(_AVIF_BRANDS):
        return "an AVIF picture"
    return "a HEIC picture" if brands.intersection(_HEIC_BRANDS) else None
