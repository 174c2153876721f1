"""The addresses of peers that were met, kept from one run to the next: a fleet without multicast
and without seeds finds itself again.

What cannot be read is as good as nothing.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from ..gossip.records import Address
from ..private_file import write_private

MAX_ADDRESSES = 256
_MAX_FILE_BYTES = 256 * 1024


class _Body(msgspec.Struct):
    addresses: Annotated[tuple[Address, ...], Meta(max_length=MAX_ADDRESSES)] = ()


class Book:
    """`addresses` are those met in the last runs and in this one, the most recently met last.
    May be kept from any thread.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # One file: who keeps it last, at the end, waits for a disk that is still at it.
        self._keeping = threading.Lock()
        self.addresses = self._kept = _read(path)

    def add(self, met: Iterable[Address]) -> None:
        """Put those met now at the end, and keep the book; the longest unseen go first.

        Raises OSError; what stood there before stands there then.
        """
        met = tuple(dict.fromkeys(met))
        with self._keeping:
            before = (old for old in self.addresses if old not in met)
            self.addresses = (*before, *met)[-MAX_ADDRESSES:]
            if set(self.addresses) != set(self._kept):
                plain = [[address.ip, address.port] for address in self.addresses]
                write_private(self._path, json.dumps({"addresses": plain}))
                self._kept = self.addresses


def _read(path: Path) -> tuple[Address, ...]:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_MAX_FILE_BYTES), type=_Body).addresses
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return ()
