"""Signatures of thinking blocks: opaque to clients, which send them back with the block.

A client may ask for its thinking blocks without their text. The next prompt of that conversation
needs the text all the same, or it would not begin with the one before it: so the signature brings
it back. It is no secret, and proves nothing.
"""

from __future__ import annotations

import base64
import binascii
import zlib

_MARK = "cortex1."
# More than any answer reasons. It also bounds what a made-up signature may unfold to.
_MAX_TEXT_BYTES = 1 << 20


def sign(hidden_text: str = "") -> str:
    packed = zlib.compress(hidden_text.encode()) if hidden_text else b""
    return _MARK + base64.urlsafe_b64encode(packed).decode()


def hidden_text(signature: str) -> str:
    """The text that a signature of ours brings back; nothing from any other."""
    mark, _, payload = signature.partition(".")
    if f"{mark}." != _MARK or not payload:
        return ""
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(base64.urlsafe_b64decode(payload), _MAX_TEXT_BYTES)
        return text.decode() if unpacking.eof else ""
    except (binascii.Error, zlib.error, ValueError):
        return ""
