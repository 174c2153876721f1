"""A vector of the fake engine: a hash of all tokens of the prompt, drawn out to its dimensions."""

from __future__ import annotations

import hashlib
import math
import struct

from .types import Pooling, Prompt

_VALUE_BYTES = 4


def hashed_vector(prompt: Prompt, pooling: Pooling) -> bytes:
    """Float32 values, lowest byte first; fewer dimensions are the first of more."""
    digest = hashlib.blake2b()
    for token_id in prompt.token_ids:
        digest.update(b"%d," % token_id)
    size_bytes = _VALUE_BYTES * pooling.dimensions
    drawn = hashlib.shake_256(digest.digest()).digest(size_bytes)
    values = [value / 2**31 for value in struct.unpack(f"<{pooling.dimensions}i", drawn)]
    length = math.hypot(*values) if pooling.is_normalised else 1.0
    return struct.pack(f"<{pooling.dimensions}f", *(value / (length or 1.0) for value in values))
