"""The envelope of a datagram: what stands before the sealed message, sealing, and opening.

    0   magic 0xC7
    1   high half: wire version, low half: suite (1 is HKDF-SHA256 with ChaCha20-Poly1305)
    2   the fleet key's name, 4 bytes
    6   the sender's boot, 8 bytes
    14  counter, 8 bytes, from 1
    22  random, 4 bytes
    26  the message, encrypted, and 16 bytes that prove it

Every run of a peer has a key of its own, and a counter in it: no nonce comes twice. The random
bytes help where a machine was put to sleep once and woken up twice. What is in the message, and
whether it came before, is not known here.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ..keys.fleet_key import FleetKey, RandomBytes
from .codec import MessageError
from .ids import ID_BYTES, BootId

# Fits the smallest MTU of IPv6, 1280, under a tunnel's headers (RFC 8200, section 5).
MAX_DATAGRAM_BYTES = 1200
HEADER_BYTES = 26
TAG_BYTES = 16
MIN_DATAGRAM_BYTES = HEADER_BYTES + TAG_BYTES
MAX_MESSAGE_BYTES = MAX_DATAGRAM_BYTES - MIN_DATAGRAM_BYTES
MAGIC = 0xC7
# Wire version 1, suite 1.
VERSION_AND_SUITE = 0x11
_RANDOM_BYTES = 4
_LAYOUT = struct.Struct(">BB4s8sQ4s")


class Header(NamedTuple):
    magic: int
    version_and_suite: int
    key_id: bytes
    boot: bytes
    counter: int
    random: bytes

    @property
    def nonce(self) -> bytes:
        return self.random + self.counter.to_bytes(8, "big")


def new_boot(random_bytes: RandomBytes) -> BootId:
    return BootId(random_bytes(ID_BYTES))


def read_header(datagram: bytes) -> Header:
    """What stands before the message; the datagram must be long enough to have it."""
    return Header(*_LAYOUT.unpack_from(datagram))


def cipher_of(key: FleetKey, boot: bytes) -> ChaCha20Poly1305:
    """What seals and opens the datagrams of one run of a peer."""
    return ChaCha20Poly1305(key.datagram_key(boot))


def open_with(cipher: ChaCha20Poly1305, header: Header, datagram: bytes) -> bytes:
    """The message in the datagram.

    Raises cryptography's InvalidTag for a datagram that this key did not seal just so.
    """
    return cipher.decrypt(header.nonce, datagram[HEADER_BYTES:], datagram[:HEADER_BYTES])


class Sealer:
    """Seals what this run of the peer sends."""

    def __init__(self, boot: BootId, random_bytes: RandomBytes) -> None:
        self._random_bytes = random_bytes
        # With each key's name, which is drawn from it and costs as much as sealing does.
        self._drawn: dict[FleetKey, tuple[bytes, ChaCha20Poly1305]] = {}
        self._counter = 0
        self.boot = boot

    def seal(self, key: FleetKey, message: bytes) -> bytes:
        """Raises MessageError for a message that fills more than a datagram."""
        if len(message) > MAX_MESSAGE_BYTES:
            raise MessageError(
                f"a message of {len(message)} bytes is over {MAX_MESSAGE_BYTES}",
                "let it carry less",
            )
        key_id, cipher = self._drawn_from(key)
        self._counter += 1
        header = Header(
            MAGIC,
            VERSION_AND_SUITE,
            key_id,
            self.boot,
            self._counter,
            self._random_bytes(_RANDOM_BYTES),
        )
        front = _LAYOUT.pack(*header)
        return front + cipher.encrypt(header.nonce, message, front)

    def _drawn_from(self, key: FleetKey) -> tuple[bytes, ChaCha20Poly1305]:
        if key not in self._drawn:
            self._drawn[key] = (key.key_id, cipher_of(key, self.boot))
        return self._drawn[key]
