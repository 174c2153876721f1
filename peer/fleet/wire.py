"""The bodies that peers send each other over HTTP: msgpack, squeezed where that pays, bounded.

0   0 plain, 1 zlib
1   a msgpack map by field names; unknown fields are passed over
"""

from __future__ import annotations

import functools
import hashlib
import zlib
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, TypeVar, cast, get_args

import msgspec
from aiohttp import StreamReader
from msgspec import Meta, Struct

from cortex.engine.costs import ModelCosts
from cortex.engine.types import Capability

from ..gossip.codec import MessageError, packed_bytes
from ..gossip.ids import U32, U63, Model
from ..gossip.records import Digest, Row
from .notices import printable
from .view import StoredModel

MAX_BODY_BYTES = 4 * 1024 * 1024
# A page of rows: what is left of a body is for the digests beside them.
PAGE_BYTES = MAX_BODY_BYTES - 1024 * 1024
MAX_ROWS = 20_001
MAX_STORED = 10_000
DIGEST_BYTES = 16
_SQUEEZED_ABOVE_BYTES = 4096
_PLAIN, _ZLIB = b"\x00", b"\x01"
_CAPABILITIES: tuple[Capability, ...] = get_args(Capability)

S = TypeVar("S", bound=Struct)
_Digests = Annotated[tuple[Digest, ...], Meta(max_length=MAX_ROWS)]
_Rows = Annotated[tuple[Row, ...], Meta(max_length=MAX_ROWS)]


class SyncQuestion(Struct, frozen=True):
    """What the asker holds of everybody; or, with rows, what the asked one wanted of it."""

    digest: _Digests | None = None
    rows: _Rows = ()


class SyncReply(Struct, frozen=True):
    """The rows where the asked one is ahead, what it wants, and whether there are more rows."""

    rows: _Rows = ()
    wants: _Digests = ()
    has_more: bool = False


class Entry(Struct, frozen=True, array_like=True):
    """A model on a disk."""

    model: Model
    id: Annotated[str, Meta(max_length=256)]
    size_bytes: U63
    context_tokens: U32
    capabilities: Annotated[tuple[Annotated[str, Meta(max_length=32)], ...], Meta(max_length=16)]
    created_s: U63
    costs: ModelCosts | None = None


class Catalogue(Struct, frozen=True):
    """Of Entries, each packed on its own: one that cannot be read takes no other along."""

    models: Annotated[tuple[msgspec.Raw, ...], Meta(max_length=MAX_STORED)] = ()


def packed(content: Struct) -> bytes:
    data = msgspec.msgpack.encode(content)
    if len(data) <= _SQUEEZED_ABOVE_BYTES:
        return _PLAIN + data
    return _ZLIB + zlib.compress(data, 1)


def unpacked(kind: type[S], body: bytes) -> S:
    """Raises MessageError for a body that is none of that kind, or is longer than any may be."""
    data = body[1:]
    try:
        if body[:1] == _ZLIB:
            data = _unsqueezed(data)
        elif body[:1] != _PLAIN:
            raise MessageError("a body begins with 0 or 1")
        return cast(S, _decoder(kind).decode(data))
    except (zlib.error, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MessageError(f"not a {kind.__name__}: {error}") from error


async def read_body(content: StreamReader) -> bytes:
    """Raises MessageError for one that is longer than any may be."""
    body = bytearray()
    async for part in content.iter_any():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise MessageError(f"a body of more than {MAX_BODY_BYTES} bytes")
    return bytes(body)


def _unsqueezed(data: bytes) -> bytes:
    """No more than a body may have, whatever the bytes say."""
    opened = zlib.decompressobj()
    plain = opened.decompress(data, MAX_BODY_BYTES)
    if not opened.eof:
        raise MessageError(f"a body of more than {MAX_BODY_BYTES} bytes, or one that is cut off")
    return plain


@functools.cache
def _decoder(kind: type[Any]) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


def page(rows: Sequence[Row], limit_bytes: int = PAGE_BYTES) -> tuple[Row, ...]:
    """The first rows, as many as fit into one body; one at least, where there is any."""
    for number, row in enumerate(rows):
        limit_bytes -= packed_bytes(row)
        if limit_bytes < 0:
            return tuple(rows[: max(number, 1)])
    return tuple(rows)


def packed_catalogue(stored: Iterable[StoredModel]) -> bytes:
    """The list of a peer's models as it travels: the same models, the same bytes."""
    entries = sorted((_entry(model) for model in stored), key=lambda entry: (entry.id, entry.model))
    raw = (msgspec.Raw(msgspec.msgpack.encode(entry)) for entry in entries[:MAX_STORED])
    return packed(Catalogue(tuple(raw)))


def digest_of(catalogue: bytes) -> bytes:
    return hashlib.sha256(catalogue).digest()[:DIGEST_BYTES]


def read_catalogue(body: bytes) -> tuple[tuple[StoredModel, ...], bool]:
    """The models that can be read, and whether these are all."""
    try:
        told = unpacked(Catalogue, body).models
    except MessageError:
        return (), False
    read = [_stored(entry) for raw in told if (entry := _read_entry(raw)) is not None]
    return tuple(read), len(read) == len(told)


def _read_entry(raw: msgspec.Raw) -> Entry | None:
    try:
        return cast(Entry, _decoder(Entry).decode(raw))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _entry(model: StoredModel) -> Entry:
    return Entry(
        model=model.model,
        id=model.id[:256],
        size_bytes=model.size_bytes,
        context_tokens=model.context_tokens,
        capabilities=tuple(model.capabilities),
        created_s=max(0, model.created_s),
        costs=model.costs,
    )


def _stored(entry: Entry) -> StoredModel:
    told = set(entry.capabilities)
    known: tuple[Capability, ...] = tuple(each for each in _CAPABILITIES if each in told)
    return StoredModel(
        model=entry.model,
        id=printable(entry.id, 256),
        size_bytes=entry.size_bytes,
        context_tokens=entry.context_tokens,
        capabilities=known,
        created_s=entry.created_s,
        costs=entry.costs,
    )
