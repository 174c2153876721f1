"""The addresses of peers that were met, kept from one run to the next: a fleet without multicast
and without seeds finds itself again.

An address where nobody was met for a month, while others were met, is forgotten: routers hand out
new ones all the time. Who meets nobody for longer forgets nothing till then.
What cannot be read is as good as nothing.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from ..gossip.ids import Port
from ..gossip.records import Address, Ip
from ..private_file import write_private

MAX_ADDRESSES = 256
_KEPT_S = 30 * 24 * 3600
# How far behind the file may be: what is met all the time is not written all the time.
_WRITE_EVERY_S = 24 * 3600
_MAX_FILE_BYTES = 256 * 1024


class _Place(msgspec.Struct, array_like=True):
    ip: Ip
    port: Port
    met_s: int  # by people's clock


class _Body(msgspec.Struct):
    addresses: Annotated[tuple[_Place, ...], Meta(max_length=MAX_ADDRESSES)] = ()


class Book:
    """The addresses met in the last runs and in this one. May be kept from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # One file: who keeps it last, at the end, waits for a disk that is still at it.
        self._keeping = threading.Lock()
        self._met_s = self._kept = _read(path)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The most recently met last."""
        return tuple(self._met_s)

    def add(self, met: Iterable[Address], now_s: int) -> None:
        """Put those met now at the end, and keep the book; the longest unseen go first.

        Raises OSError; what stood there before stands there then.
        """
        met = dict.fromkeys(met, now_s)
        with self._keeping:
            before = {
                address: met_s
                for address, met_s in self._met_s.items()
                if address not in met and (not met or now_s - met_s <= _KEPT_S)
            }
            self._met_s = dict([*before.items(), *met.items()][-MAX_ADDRESSES:])
            if _is_news(self._met_s, self._kept):
                plain = [[each.ip, each.port, met_s] for each, met_s in self._met_s.items()]
                write_private(self._path, json.dumps({"addresses": plain}))
                self._kept = self._met_s


def _is_news(now: Mapping[Address, int], kept: Mapping[Address, int]) -> bool:
    """By a clock that may have been put back, too."""
    if now.keys() != kept.keys():
        return True
    return any(abs(met_s - kept[address]) > _WRITE_EVERY_S for address, met_s in now.items())


def _read(path: Path) -> Mapping[Address, int]:
    try:
        with path.open("rb") as file:
            body = msgspec.json.decode(file.read(_MAX_FILE_BYTES), type=_Body)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    return {Address(place.ip, place.port): place.met_s for place in body.addresses}
