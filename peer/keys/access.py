"""API keys: what is kept of one, and whose a key is that came with a request. Pure.

Only hashes are known here. A key is 256 random bits, so that its hash needs no salt and no slow
function to be worthless to whoever reads it. Hashes are compared in constant time, all of them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass

_KEY_PREFIX = "sk-cortex-"
_NUM_KEY_BYTES = 32
_HASH = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Who may ask. `None` for a limit is the one that all keys have, if there is one.

    An admin key opens the routes that steer a peer, beside all others.
    """

    name: str
    digest: bytes
    is_admin: bool = False
    max_concurrent: int | None = None
    tokens_per_minute: int | None = None
    requests_per_minute: int | None = None


class Keyring:
    """The keys that a peer knows. Without any it is open: whatever comes is let in."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = tuple(keys)
        # Admin keys alone guard what steers the peer, and nothing else.
        self.is_open = all(key.is_admin for key in self._keys)

    def find(self, presented: Iterable[str]) -> ApiKey | None:
        """The key that one of these texts is."""
        if not self._keys:
            return None
        found: ApiKey | None = None
        for text in presented:
            digest = digest_of(text)
            for key in self._keys:
                if hmac.compare_digest(key.digest, digest):
                    found = key
        return found


def make_key(random_bytes: bytes) -> str:
    """A new key, made of 32 random bytes."""
    assert len(random_bytes) == _NUM_KEY_BYTES
    return _KEY_PREFIX + base64.urlsafe_b64encode(random_bytes).decode("ascii").rstrip("=")


def digest_of(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def spell_hash(digest: bytes) -> str:
    """A hash as it stands in a file."""
    return f"sha256:{digest.hex()}"


def read_hash(text: str) -> bytes | None:
    """The hash that is spelt so, or None for any other text."""
    found = _HASH.fullmatch(text.strip().lower())
    return bytes.fromhex(found[1]) if found else None


def presented_keys(authorization: str | None, x_api_key: str | None) -> list[str]:
    """The keys that a request's headers hold; both headers mean the same."""
    keys: list[str] = []
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        keys.append(token.strip())
    if x_api_key and x_api_key.strip():
        keys.append(x_api_key.strip())
    return keys
