"""Server-sent events: how they are spelt. Values in, bytes out."""

from __future__ import annotations

from typing import Any

import msgspec

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"

_ENCODER = msgspec.json.Encoder()


def data(value: Any) -> bytes:
    return b"data: " + _ENCODER.encode(value) + b"\n\n"


def named(name: str, value: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + _ENCODER.encode(value) + b"\n\n"


def comment(text: str) -> bytes:
    return b": " + text.encode() + b"\n\n"
