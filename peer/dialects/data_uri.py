"""Pictures as clients write them into JSON: `data:` URIs.

Any other address is refused unread: nothing here opens a file or a socket, ever. Whether the bytes
are a picture is for the text process to find out.
"""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote

from cortex.engine.errors import ImageUrlUnsupported, InvalidImage

_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{0,31}:")


def read_data_uri(url: str, path: str) -> bytes:
    """The bytes in a data URI; the declared type is ignored, the bytes decide.

    Raises ImageUrlUnsupported for any other address, InvalidImage for what is not base64.
    """
    url = url.strip()
    if url[:5].lower() != "data:":
        raise ImageUrlUnsupported(
            f"{path}: {_kind_of(url)} is not fetched, pictures are taken as data: URIs only",
            "send the picture itself as data:image/png;base64,…",
            param=path,
        )
    header, comma, payload = url.partition(",")
    parameters = [parameter.strip().lower() for parameter in header[5:].split(";")]
    if not comma or "base64" not in parameters[1:]:
        raise InvalidImage(f"{path}: a data: URI without base64 data", param=path)
    data = _decode(payload)
    if not data:
        raise InvalidImage(f"{path}: the picture's data is not base64, or empty", param=path)
    return data


def _kind_of(url: str) -> str:
    scheme = _SCHEME.match(url)
    return f"an address with scheme {scheme[0][:-1].lower()!r}" if scheme else "a bare name"


def _decode(payload: str) -> bytes | None:
    """Base64 in either alphabet, with or without padding, white space and percent signs."""
    if "%" in payload:
        payload = unquote(payload)
    payload = "".join(payload.split()).rstrip("=")
    payload = payload.replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(payload + "=" * (-len(payload) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
