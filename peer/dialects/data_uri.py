"""Pictures as clients write them into JSON: `data:` URIs, and bare base64.

Any other address is refused unread: nothing here opens a file or a socket, ever. Whether the bytes
are a picture is for the text process to find out. A picture is most of its body, so it is decoded
straight out of it.
"""

from __future__ import annotations

import binascii
import re
from urllib.parse import unquote_to_bytes

import msgspec

from cortex.engine.errors import ImageUrlUnsupported, InvalidImage

from .decoding import read_raw

_SCHEME = re.compile(rb"[a-zA-Z][a-zA-Z0-9+.-]{0,31}:")
# Longer than the header of any URI that means a picture.
_MAX_HEADER_BYTES = 1024
_BACKSLASH = re.compile(rb"\\")


def read_data_uri(raw: msgspec.Raw, path: str) -> bytes:
    """The bytes in a data URI, given as a JSON string; the declared type is ignored.

    Raises ImageUrlUnsupported for any other address, InvalidImage for what is not base64, and
    InvalidRequest for what is no string.
    """
    text = _string_bytes(raw, path)
    head = bytes(text[:_MAX_HEADER_BYTES])
    if head.lstrip()[:5].lower() != b"data:":
        raise ImageUrlUnsupported(
            f"{path}: {_kind_of(head)} is not fetched, pictures are taken as data: URIs only",
            "send the picture itself as data:image/png;base64,…",
            param=path,
        )
    header, comma, _ = head.partition(b",")
    parameters = [parameter.strip().lower() for parameter in header.split(b";")]
    if not comma or b"base64" not in parameters[1:]:
        raise InvalidImage(f"{path}: a data: URI without base64 data", param=path)
    return _decoded(text[len(header) + 1 :], path)


def read_base64(raw: msgspec.Raw, path: str) -> bytes:
    """The bytes of a JSON string of base64.

    Raises InvalidImage for what is not base64, InvalidRequest for what is no string.
    """
    return _decoded(_string_bytes(raw, path), path)


def _string_bytes(raw: msgspec.Raw, path: str) -> memoryview:
    """A JSON string's bytes: a view of the body, unless something in it is escaped."""
    view = memoryview(raw)
    if len(view) >= 2 and view[0] == ord('"') and not _BACKSLASH.search(view):
        return view[1:-1]
    return memoryview(read_raw(raw, str, path).encode())


def _kind_of(head: bytes) -> str:
    scheme = _SCHEME.match(head.lstrip())
    if scheme is None:
        return "a bare name"
    return f"an address with scheme {scheme[0][:-1].lower().decode()!r}"


def _decoded(payload: memoryview, path: str) -> bytes:
    """Base64 in either alphabet, with or without padding, white space and percent signs."""
    try:
        data = binascii.a2b_base64(payload, strict_mode=True)
    except ValueError:
        data = _decoded_leniently(bytes(payload))
    if not data:
        raise InvalidImage(f"{path}: the picture's data is not base64, or empty", param=path)
    return data


def _decoded_leniently(payload: bytes) -> bytes:
    if b"%" in payload:
        payload = unquote_to_bytes(payload)
    payload = b"".join(payload.split()).rstrip(b"=")
    payload = payload.translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return binascii.a2b_base64(payload + b"=" * (-len(payload) % 4), strict_mode=True)
    except ValueError:
        return b""
