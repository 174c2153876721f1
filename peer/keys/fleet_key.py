"""The secret that makes peers one fleet: its text, and the keys that are drawn from it.

Whoever holds it is a member, so it is shown only by who is asked to show it: not by repr, not in an
error. What is drawn from it says nothing of it, and may be shown where a line below says so.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..errors import InvalidFleetKey

# Gives so many bytes that nobody can foresee.
RandomBytes = Callable[[int], bytes]

KEY_BYTES = 32
KEY_ID_BYTES = 4
MDNS_TAG_BYTES = 8
_FAMILY = "cortex"
_PREFIX = "cortex1-"
_TEXT_CHARS = 52
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz234567")
# The order of P-256's group (FIPS 186-4, D.1.2.3).
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# 128 bits more than the order has, so that no number is likelier than another (FIPS 186-4, B.4.1).
_CA_BYTES = 48
_COPY_HINT = "copy the whole line that `cortex key` prints on a peer of the fleet"


@dataclass(frozen=True, slots=True)
class FleetKey:
    secret: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The key as people pass it on. A secret."""
        return _PREFIX + base64.b32encode(self.secret).decode().rstrip("=").lower()

    @property
    def key_id(self) -> bytes:
        """Names the key in every datagram. No secret."""
        return self._drawn(b"cortex/1/kid")[:KEY_ID_BYTES]

    @property
    def mdns_tag(self) -> bytes:
        """By this peers of one fleet know each other on a network. No secret."""
        return self._drawn(b"cortex/1/mdns")[:MDNS_TAG_BYTES]

    @property
    def ca_number(self) -> int:
        """The private key, on P-256, of the authority that every peer is for itself. A secret."""
        drawn = int.from_bytes(self._drawn(b"cortex/1/ca", _CA_BYTES), "big")
        return drawn % (_P256_ORDER - 1) + 1

    def datagram_key(self, boot: bytes) -> bytes:
        """What seals the datagrams of one run of a peer. A secret."""
        return self._drawn(b"cortex/1/udp" + boot)

    def _drawn(self, info: bytes, length_bytes: int = KEY_BYTES) -> bytes:
        return HKDF(SHA256(), length_bytes, salt=None, info=info).derive(self.secret)


def new_fleet_key(random_bytes: RandomBytes) -> FleetKey:
    return FleetKey(random_bytes(KEY_BYTES))


def parse_fleet_key(text: str) -> FleetKey:
    """The key in a text, whatever the case of its letters and the blanks around it.

    Raises InvalidFleetKey, which repeats nothing that could be part of a key.
    """
    plain = text.strip().lower()
    if not plain.startswith(_PREFIX):
        raise _not_of_our_kind(plain)
    letters = plain.removeprefix(_PREFIX)
    for place, letter in enumerate(letters, start=1):
        if letter not in _LETTERS:
            raise InvalidFleetKey(
                f"{letter!a} at place {place} after {_PREFIX} is in no fleet key",
                "it has the letters a to z and the digits 2 to 7",
            )
    if len(letters) != _TEXT_CHARS:
        raise InvalidFleetKey(
            f"a fleet key has {_TEXT_CHARS} letters after {_PREFIX}, this one {len(letters)}",
            _COPY_HINT,
        )
    key = FleetKey(base64.b32decode(letters.upper() + "===="))
    if key.text != plain:
        # 52 letters hold four bits more than a key has: they are zero in every key there is.
        raise InvalidFleetKey("the last letter of the fleet key is another one", _COPY_HINT)
    return key


def _not_of_our_kind(plain: str) -> InvalidFleetKey:
    version, dash, _ = plain.partition("-")
    if dash and version.startswith(_FAMILY) and version.removeprefix(_FAMILY).isdecimal():
        return InvalidFleetKey(
            "the fleet key is of a newer kind than this version reads", "update cortex"
        )
    return InvalidFleetKey(f"a fleet key begins with {_PREFIX}", _COPY_HINT)
