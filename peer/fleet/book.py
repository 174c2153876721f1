"""The addresses of peers that were met, kept from one run to the next: a fleet without multicast
and without seeds finds itself again.

What cannot be read is as good as nothing.
"""

from __future__ import annotations

import json
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


def read_book(path: Path) -> tuple[Address, ...]:
    """Those of the last run, the most recently met last."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_MAX_FILE_BYTES), type=_Body).addresses
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return ()


def write_book(path: Path, addresses: Iterable[Address]) -> None:
    """Raises OSError; what stood there before stands there then."""
    plain = [[address.ip, address.port] for address in addresses]
    write_private(path, json.dumps({"addresses": plain[-MAX_ADDRESSES:]}))


def with_met(book: Iterable[Address], met: Iterable[Address]) -> tuple[Address, ...]:
    """The book with those met now at its end; the longest unseen go first."""
    kept = dict.fromkeys(book)
    for address in met:
        kept.pop(address, None)
        kept[address] = None
    return tuple(kept)[-MAX_ADDRESSES:]
